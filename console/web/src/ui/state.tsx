// SPDX-License-Identifier: Apache-2.0

// What a page shows when there is nothing to show: still loading, nothing there, or an
// error; each says what to do.
import { Component, type ReactNode } from 'react'
import type { Problem } from '../api/client'
import { dictionary, useWords } from '../i18n'
import { Shown } from './text'

const words = dictionary({
  loading: 'Loading',
  again: 'Try again',
  noAnswer: 'The brain gives no answer.',
  noAnswerHelp: 'Is it running? Look at `systemctl status ringwall` or the terminal of `ringwall up`. What stands here may be old.',
  forbidden: 'You may not see or do this.',
  forbiddenHelp: 'An admin can change your role under Settings, Users.',
  missing: 'There is nothing under this address.',
  missingHelp: 'It may be older than what is kept, or belong to another tenant.',
  many: 'Too many requests; wait {s} s.',
  conflict: 'Somebody else changed it meanwhile.',
  conflictHelp: 'Nothing of yours was saved. Look at what is there now and repeat your change if it still holds.',
  refused: 'The request was not accepted.',
  inside: 'The brain failed at it.',
  insideHelp: 'Its log says why.',
  fault: 'This page broke.',
  faultHelp: 'Load it again. If it breaks again, that is a bug of ours: please report what stands here.',
  reload: 'Load the page again',
}, {
  loading: '正在载入',
  again: '重试',
  noAnswer: '大脑（brain）没有应答。',
  noAnswerHelp: '它在运行吗？请查看 `systemctl status ringwall` 或 `ringwall up` 的终端。此处内容可能已过时。',
  forbidden: '您无权查看或执行此操作。',
  forbiddenHelp: '管理员可在“设置 › 用户”中更改您的角色。',
  missing: '此地址下没有内容。',
  missingHelp: '它可能早于保留期限，或属于另一个租户。',
  many: '请求过多，请等待 {s} 秒。',
  conflict: '其他人已在此期间修改。',
  conflictHelp: '您的更改没有保存。请先查看当前内容，如仍有必要再重新修改。',
  refused: '请求未被接受。',
  inside: '大脑（brain）处理失败。',
  insideHelp: '原因见其日志。',
  fault: '此页面出错了。',
  faultHelp: '请重新载入。如果再次出错，这是我们的缺陷：请报告此处的内容。',
  reload: '重新载入页面',
})

/** Loading holds the place of what comes. */
export function Loading({ lines = 3 }: { lines?: number }) {
  const t = useWords(words)
  return (
    <div className="loading" role="status" aria-label={t('loading')}>
      {Array.from({ length: lines }, (_, i) => <div key={i} className="skeleton" />)}
    </div>
  )
}

/** Empty says that there is nothing, and what would bring something. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return <div className="empty"><p className="empty-title">{title}</p>{children && <div className="empty-help">{children}</div>}</div>
}

/** Trouble shows a problem in words, with what can be done about it. */
export function Trouble({ problem: p, retry }: { problem: Problem; retry?: () => void }) {
  const t = useWords(words)
  const [title, help] = ((): [string, string] => {
    switch (true) {
      case p.title === 'fault': return [t('fault'), t('faultHelp')]
      case p.status === 0: return [t('noAnswer'), t('noAnswerHelp')]
      case p.status === 403: return [t('forbidden'), t('forbiddenHelp')]
      case p.status === 404: return [t('missing'), t('missingHelp')]
      case p.status === 409: return [t('conflict'), t('conflictHelp')]
      case p.status === 429: return [t('many', { s: p.retryAfter || 1 }), '']
      case p.status >= 500: return [t('inside'), t('insideHelp')]
      default: return [t('refused'), '']
    }
  })()
  return (
    <div className="trouble" role="alert">
      <p className="trouble-title">{title}</p>
      {p.message && <p><Shown text={p.message} most={400} /></p>}
      {p.fields.map((f, i) => <p key={i}><code>{f.where}</code> <Shown text={f.what} /></p>)}
      {help && <p className="muted">{help}</p>}
      {retry && <button type="button" className="button" onClick={retry}>{t('again')}</button>}
    </div>
  )
}

/** Stand shows loading or trouble, or what the children make of the data. */
export function Stand<T>({ of, lines, children }: { of: { data: T | undefined; error: Problem | undefined; loading: boolean; reload: () => void }; lines?: number; children: (data: T) => ReactNode }) {
  if (of.data !== undefined) return <>{of.error && <Trouble problem={of.error} retry={of.reload} />}{children(of.data)}</>
  if (of.error) return <Trouble problem={of.error} retry={of.reload} />
  return <Loading lines={lines} />
}

/** Fence keeps a fault of one page from taking the whole console along. */
export class Fence extends Component<{ children: ReactNode }, { fault?: Error }> {
  override state: { fault?: Error } = {}
  static getDerivedStateFromError(fault: Error) { return { fault } }
  override render() { return this.state.fault ? <Broken fault={this.state.fault} /> : this.props.children }
}

function Broken({ fault }: { fault: Error }) {
  const t = useWords(words)
  return (
    <div className="trouble" role="alert">
      <p className="trouble-title">{t('fault')}</p>
      <p><Shown text={fault.message} most={400} /></p>
      <p className="muted">{t('faultHelp')}</p>
      <button type="button" className="button" onClick={() => location.reload()}>{t('reload')}</button>
    </div>
  )
}
