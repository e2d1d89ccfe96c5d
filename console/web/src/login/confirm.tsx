// SPDX-License-Identifier: Apache-2.0
import { useState, type FormEvent } from 'react'
import { api, type Schema } from '../api/client'
import { useChange } from '../api/query'
import { dictionary, useWords } from '../i18n'
import { Dialog } from '../ui/dialog'
import { Field } from '../ui/form'
import { LoginTrouble } from './trouble'

const words = dictionary({
  title: 'Is it you?',
  why: 'What you are about to change opens the door for others. Prove again who you are.',
  password: 'Password', code: 'Code of the authenticator app, or a recovery code',
  go: 'Confirm', again: 'Log out and log in again',
  other: 'You have no password here. Log in again; for ten minutes after that you may change it.',
}, {
  title: '是您本人吗？',
  why: '此更改涉及登录方式，请再次证明您的身份。',
  password: '密码', code: '验证器应用的验证码，或恢复码',
  go: '确认', again: '退出并重新登录',
  other: '您在此处没有密码。请重新登录；登录后十分钟内可以更改。',
})

/** Confirm has a person prove anew who they are; onDone tells whether they did. */
export function Confirm({ me, onDone, onLogOut }: { me: Schema['Me']; onDone: (ok: boolean) => void; onLogOut: () => void }) {
  const t = useWords(words)
  const [password, setPassword] = useState('')
  const [code, setCode] = useState('')
  const second = !!me.ways?.totp || (me.ways?.passkeys ?? []).length > 0
  const prove = useChange(() => api.post('/v1/me/confirm', { body: { password, code: code || undefined } }))
  const submit = async (e: FormEvent) => {
    e.preventDefault()
    if (await prove.run()) onDone(true)
  }
  return (
    <Dialog title={t('title')} onClose={() => onDone(false)}>
      {me.ways?.password === false
        ? <p>{t('other')}</p>
        : <form onSubmit={e => void submit(e)} className="form">
          <p>{t('why')}</p>
          <Field label={t('password')} type="password" autoComplete="current-password" required autoFocus value={password} onChange={e => setPassword(e.target.value)} />
          {second && <Field label={t('code')} inputMode="numeric" autoComplete="one-time-code" required value={code} onChange={e => setCode(e.target.value)} />}
          {prove.error && <LoginTrouble problem={prove.error} />}
          <button className="button primary" disabled={prove.busy}>{t('go')}</button>
        </form>}
      <button type="button" className="text-button" onClick={onLogOut}>{t('again')}</button>
    </Dialog>
  )
}
