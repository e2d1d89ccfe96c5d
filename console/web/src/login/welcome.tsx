// SPDX-License-Identifier: Apache-2.0

// The page of one-time links: the first admin, an invited user, one who lost their way in.
// The secret stands behind the # of the address, which goes to no server, and is taken out
// of it at once.
import { useEffect, useState, type FormEvent } from 'react'
import { api, type Schema } from '../api/client'
import { useAsk, useChange } from '../api/query'
import { dictionary, useWords } from '../i18n'
import { go } from '../router'
import { Field } from '../ui/form'
import { Loading } from '../ui/state'
import { Line } from '../ui/text'
import { Time } from '../ui/time'
import { Door } from './door'
import { LoginTrouble } from './trouble'

const words = dictionary({
  setup: 'Set up Ringwall', invite: 'Welcome to Ringwall', recover: 'Set a new password', link: 'One-time link',
  setupWhy: 'You become the first admin. There is no other password than the one you choose now.',
  inviteWhy: '{by} invited you as {role}.',
  recoverWhy: 'Your other ways in (codes, passkeys, sessions, tokens) end when you set the new password.',
  name: 'Name', nameHint: 'Small letters, digits and . _ - @',
  password: 'Password', passwordHint: 'At least 12 characters; a few words that do not belong together are easy to keep.',
  repeat: 'Password again', differ: 'The two are not the same.',
  go: 'Set the password and log in', until: 'The link works until',
  noSecret: 'This page needs the whole link, with what stands behind its #. Open it again as it was given to you.',
  toLogin: 'To the log-in',
}, {
  setup: '设置 Ringwall', invite: '欢迎使用 Ringwall', recover: '设置新密码', link: '一次性链接',
  setupWhy: '您将成为第一位管理员。除了您现在选择的密码，没有其他密码。',
  inviteWhy: '{by} 邀请您担任 {role}。',
  recoverWhy: '设置新密码后，您的其他登录方式（验证码、通行密钥、会话、令牌）全部失效。',
  name: '用户名', nameHint: '小写字母、数字以及 . _ - @',
  password: '密码', passwordHint: '至少 12 个字符；几个互不相关的词便于记忆。',
  repeat: '再次输入密码', differ: '两次输入不一致。',
  go: '设置密码并登录', until: '链接有效期至',
  noSecret: '此页面需要完整的链接（包括 # 之后的部分）。请按收到的原样重新打开。',
  toLogin: '前往登录',
})

let secret = ''

/** takeSecret reads the link's secret and takes it out of the address and the history. */
function takeSecret(): string {
  const here = decodeURIComponent(location.hash.slice(1))
  if (here) {
    secret = here
    history.replaceState(null, '', location.pathname)
  }
  return secret
}

export function Welcome({ enter }: { enter: (me: Schema['Me']) => void }) {
  const t = useWords(words)
  const [mine] = useState(takeSecret)
  const link = useAsk(mine ? 'link' : null, () => api.post('/v1/links/look', { body: { secret: mine } }))
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [repeat, setRepeat] = useState('')
  const redeem = useChange(() => api.post('/v1/links/redeem', { body: { secret: mine, password, name: link.data?.purpose === 'setup' ? name : undefined } }))
  useEffect(() => () => { secret = '' }, [])

  const submit = async (e: FormEvent) => {
    e.preventDefault()
    if (password !== repeat) return
    const w = await redeem.run()
    if (!w?.me) return
    go('/account?first=1', { replace: true })
    enter(w.me)
  }
  const away = <button type="button" className="text-button" onClick={() => go('/', { replace: true })}>{t('toLogin')}</button>
  if (!mine) return <Door title={t('link')}><p>{t('noSecret')}</p>{away}</Door>
  if (link.error) return <Door title={t('link')}><LoginTrouble problem={link.error} />{away}</Door>
  if (!link.data) return <Door title={t('link')}><Loading /></Door>
  const k = link.data
  const setup = k.purpose === 'setup'
  return (
    <Door title={setup ? t('setup') : k.purpose === 'recover' ? t('recover') : t('invite')}>
      <p>{setup ? t('setupWhy') : k.purpose === 'recover' ? t('recoverWhy') : <Line text={t('inviteWhy', { by: k.by, role: k.role })} />}</p>
      <form className="form" onSubmit={e => void submit(e)}>
        <Field label={t('name')} value={setup ? name : k.name ?? ''} readOnly={!setup} onChange={e => setName(e.target.value)} hint={setup ? t('nameHint') : undefined} autoComplete="username" autoCapitalize="none" spellCheck={false} autoFocus={setup} required />
        <Field label={t('password')} type="password" minLength={12} maxLength={1024} value={password} onChange={e => setPassword(e.target.value)} hint={t('passwordHint')} autoComplete="new-password" required autoFocus={!setup} />
        <Field label={t('repeat')} type="password" value={repeat} onChange={e => setRepeat(e.target.value)} autoComplete="new-password" required hint={repeat && repeat !== password ? <span className="form-error">{t('differ')}</span> : undefined} />
        {redeem.error && <LoginTrouble problem={redeem.error} />}
        <button className="button primary" disabled={redeem.busy || password !== repeat}>{t('go')}</button>
      </form>
      <p className="hint">{t('until')} <Time at={k.expires} /></p>
    </Door>
  )
}
