// SPDX-License-Identifier: Apache-2.0
import { useState, type FormEvent } from 'react'
import { api, type Schema } from '../api/client'
import { useChange, useGet } from '../api/query'
import { dictionary, useWords } from '../i18n'
import { Field } from '../ui/form'
import { Line } from '../ui/text'
import { Door } from './door'
import { logInByPasskey, passkeysHere } from './passkey'
import { LoginTrouble } from './trouble'

const words = dictionary({
  title: 'Log in', name: 'Name', password: 'Password', go: 'Log in', passkey: 'Log in with a passkey',
  sso: 'Log in with {name}', or: 'or',
  second: 'Second step', code: 'Code of the authenticator app', hint: 'Or a recovery code, if the app is lost.', verify: 'Go on', back: 'Begin again',
  lost: 'Lost your way in? An admin makes you a new link. A lost admin gets one on the host: docs/operate.md, “The console”.',
}, {
  title: '登录', name: '用户名', password: '密码', go: '登录', passkey: '使用通行密钥登录',
  sso: '使用 {name} 登录', or: '或',
  second: '第二步', code: '验证器应用的验证码', hint: '如果丢失了验证器，可使用恢复码。', verify: '继续', back: '重新开始',
  lost: '无法登录？管理员可以为您生成新链接。管理员本人无法登录时，请在主机上生成：见 docs/operate.md“The console”。',
})

/** Login lets a person in by password and code, passkey or single sign-on. */
export function Login({ enter }: { enter: (me: Schema['Me']) => void }) {
  const t = useWords(words)
  const ways = useGet('/v1/login')
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [code, setCode] = useState('')
  const [next, setNext] = useState<string[]>([])

  const through = (w: Schema['Welcome'] | undefined) => {
    if (w?.me) enter(w.me)
    else if (w?.next) setNext(w.next)
  }
  const login = useChange(() => api.post('/v1/login', { body: { name, password } }))
  const second = useChange(() => api.post('/v1/login/code', { body: { code: code.trim() } }))
  const passkey = useChange(logInByPasskey)
  const sso = useChange(async (provider: string) => {
    const offer = await api.post('/v1/login/oidc', { body: { provider } })
    sessionStorage.setItem(wasAt, location.pathname + location.search)
    location.assign(offer.url)
  })
  const submit = async (e: FormEvent) => { e.preventDefault(); passkey.clear(); through(await login.run()) }
  const submitCode = async (e: FormEvent) => { e.preventDefault(); through(await second.run()) }
  const byPasskey = async () => { login.clear(); through(await passkey.run()) }
  const error = second.error ?? passkey.error ?? sso.error ?? login.error

  if (next.length > 0) {
    return (
      <Door title={t('second')}>
        {next.includes('code') && <form className="form" onSubmit={e => void submitCode(e)}>
          <Field label={t('code')} hint={t('hint')} value={code} onChange={e => setCode(e.target.value)} autoComplete="one-time-code" autoFocus required spellCheck={false} />
          {error && <LoginTrouble problem={error} />}
          <button className="button primary" disabled={second.busy}>{t('verify')}</button>
        </form>}
        {next.includes('passkey') && <button type="button" className="button" disabled={passkey.busy} onClick={() => void byPasskey()}>{t('passkey')}</button>}
        <button type="button" className="text-button" onClick={() => { setNext([]); setCode(''); setPassword(''); second.clear() }}>{t('back')}</button>
      </Door>
    )
  }
  return (
    <Door title={t('title')}>
      <form className="form" onSubmit={e => void submit(e)}>
        <Field label={t('name')} value={name} onChange={e => setName(e.target.value)} autoComplete="username webauthn" autoCapitalize="none" spellCheck={false} autoFocus required />
        <Field label={t('password')} type="password" value={password} onChange={e => setPassword(e.target.value)} autoComplete="current-password" required />
        {error && <LoginTrouble problem={error} />}
        <button className="button primary" disabled={login.busy}>{t('go')}</button>
      </form>
      {(passkeysHere() || (ways.data?.providers ?? []).length > 0) && <p className="or"><span>{t('or')}</span></p>}
      {passkeysHere() && <button type="button" className="button" disabled={passkey.busy} onClick={() => void byPasskey()}>{t('passkey')}</button>}
      {(ways.data?.providers ?? []).map(p => <button key={p.name} type="button" className="button" disabled={sso.busy} onClick={() => void sso.run(p.name)}><Line text={t('sso', { name: p.label || p.name })} /></button>)}
      <p className="hint">{t('lost')}</p>
    </Door>
  )
}

/** wasAt is where the page stood before a single sign-on. */
export const wasAt = 'ringwall.was-at'
