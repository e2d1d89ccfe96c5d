// SPDX-License-Identifier: Apache-2.0
import { useState, type FormEvent } from 'react'
import { api, type Schema } from '../../api/client'
import { useChange } from '../../api/query'
import { dictionary, useWords } from '../../i18n'
import { LoginTrouble } from '../../login/trouble'
import { useSession } from '../../session'
import { Badge } from '../../ui/badges'
import { Dialog } from '../../ui/dialog'
import { Field } from '../../ui/form'
import { Panel } from '../../ui/page'

const words = dictionary({
  title: 'Authenticator app', set: 'set up', unset: 'not set up', begin: 'Set up', drop: 'End its use',
  scan: 'Scan this with the app', hand: 'Or type it in by hand:', code: 'Code that the app shows', go: 'Confirm',
  alt: 'QR code of the secret; the text below says the same',
  codes: 'Recovery codes', left: '{n} recovery codes left', make: 'Make new ones',
  codesWhy: 'Each is good once, when the app or the passkey is lost. They are shown only now: keep them where you keep papers.', copy: 'Copy', copied: 'Copied', kept: 'I have kept them',
}, {
  title: '验证器应用', set: '已设置', unset: '未设置', begin: '设置', drop: '停用',
  scan: '请用验证器应用扫描', hand: '或手动输入：', code: '应用显示的验证码', go: '确认',
  alt: '密钥的二维码；下方文字内容相同',
  codes: '恢复码', left: '还剩 {n} 个恢复码', make: '重新生成',
  codesWhy: '丢失验证器或通行密钥时使用，每个只能用一次。仅此一次显示：请妥善保存。', copy: '复制', copied: '已复制', kept: '我已保存',
})

/** SecondFactor is the authenticator app and the recovery codes. */
export function SecondFactor() {
  const t = useWords(words)
  const { me, reload } = useSession()
  const [offer, setOffer] = useState<Schema['TOTPOffer']>()
  const [code, setCode] = useState('')
  const [codes, setCodes] = useState<string[]>()
  const begin = useChange(() => api.post('/v1/me/totp'))
  const confirm = useChange(() => api.post('/v1/me/totp/confirm', { body: { code: code.trim() } }))
  const drop = useChange(() => api.delete('/v1/me/totp'))
  const make = useChange(() => api.post('/v1/me/recovery-codes'))
  const strong = !!me.ways?.totp || (me.ways?.passkeys ?? []).length > 0

  const start = async () => { const o = await begin.run(); if (o) { setCode(''); setOffer(o) } }
  const submit = async (e: FormEvent) => {
    e.preventDefault()
    const r = await confirm.run()
    if (!r) return
    setOffer(undefined)
    await reload()
    setCodes(r.codes ?? [])
  }
  const error = begin.error ?? drop.error ?? make.error
  return (
    <Panel title={t('title')} actions={me.ways?.totp
      ? <button type="button" className="button" disabled={drop.busy} onClick={() => void drop.run().then(r => r && reload())}>{t('drop')}</button>
      : <button type="button" className="button primary" disabled={begin.busy} onClick={() => void start()}>{t('begin')}</button>}>
      <p className="row"><Badge tone={me.ways?.totp ? 'good' : 'plain'}>{me.ways?.totp ? t('set') : t('unset')}</Badge>
        {strong && <><span className="muted">{t('left', { n: me.ways?.recovery_codes ?? 0 })}</span><button type="button" className="text-button" disabled={make.busy} onClick={() => void make.run().then(r => { if (r) { setCodes(r.codes ?? []); void reload() } })}>{t('make')}</button></>}</p>
      {error && <LoginTrouble problem={error} />}
      {offer && <Dialog title={t('title')} onClose={() => setOffer(undefined)}>
        <form className="form" onSubmit={e => void submit(e)}>
          <p>{t('scan')}</p>
          <img className="qr" src={offer.qr} alt={t('alt')} width={240} height={240} />
          <p>{t('hand')} <code className="secret">{offer.secret}</code></p>
          <Field label={t('code')} inputMode="numeric" autoComplete="one-time-code" pattern="[0-9 ]{6,7}" required autoFocus value={code} onChange={e => setCode(e.target.value)} />
          {confirm.error && <LoginTrouble problem={confirm.error} />}
          <button className="button primary" disabled={confirm.busy}>{t('go')}</button>
        </form>
      </Dialog>}
      {codes && <Codes codes={codes} onClose={() => setCodes(undefined)} />}
    </Panel>
  )
}

/** Codes shows recovery codes this once. */
export function Codes({ codes, onClose }: { codes: readonly string[]; onClose: () => void }) {
  const t = useWords(words)
  const [copied, setCopied] = useState(false)
  return (
    <Dialog title={t('codes')} onClose={onClose}>
      <p>{t('codesWhy')}</p>
      <ul className="codes">{codes.map(c => <li key={c}><code>{c}</code></li>)}</ul>
      <div className="row">
        <button type="button" className="button" onClick={() => void navigator.clipboard.writeText(codes.join('\n')).then(() => setCopied(true))}>{copied ? t('copied') : t('copy')}</button>
        <button type="button" className="button primary" onClick={onClose}>{t('kept')}</button>
      </div>
    </Dialog>
  )
}
