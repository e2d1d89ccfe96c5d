// SPDX-License-Identifier: Apache-2.0
import type { Problem } from '../api/client'
import { dictionary, useWords } from '../i18n'
import { Shown } from '../ui/text'

const words = dictionary({
  wrong: 'Name, password or code is wrong.',
  long: 'The log-in took too long or began elsewhere; begin again.',
  many: 'Too many attempts; try again in {s} s.',
  gone: 'This link was used, has expired or was never given. Ask for a new one.',
  none: 'The brain gives no answer. Is it running?',
  cancelled: 'The passkey was not used: it was cancelled, or this browser has none for this address.',
}, {
  wrong: '用户名、密码或验证码错误。',
  long: '登录耗时过长或在别处开始，请重新开始。',
  many: '尝试次数过多，请在 {s} 秒后重试。',
  gone: '此链接已使用、已过期或从未签发。请申请新的链接。',
  none: '大脑（brain）没有应答。它在运行吗？',
  cancelled: '未使用通行密钥：操作被取消，或此浏览器没有该地址的通行密钥。',
})

/** LoginTrouble says what went wrong at the door. */
export function LoginTrouble({ problem: p }: { problem: Problem }) {
  const t = useWords(words)
  const say = () => {
    switch (true) {
      case p.title === 'cancelled': return t('cancelled')
      case p.status === 0: return t('none')
      case p.status === 401 && p.message.includes('begin again'): return t('long')
      case p.status === 401 && /wrong/.test(p.message): return t('wrong')
      case p.status === 410: return t('gone')
      case p.status === 429: return t('many', { s: p.retryAfter || 1 })
    }
    return <Shown text={p.fields.map(f => f.what).join('; ') || p.message} most={400} />
  }
  return <p className="form-error" role="alert">{say()}</p>
}
