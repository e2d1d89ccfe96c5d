// SPDX-License-Identifier: Apache-2.0

// One's own ways in: password, authenticator app, passkeys, recovery codes, sessions,
// tokens.
import { useState, type FormEvent } from 'react'
import { api, type Schema } from '../api/client'
import { useChange, useGet } from '../api/query'
import { dictionary, useWords } from '../i18n'
import { addPasskey, passkeysHere } from '../login/passkey'
import { LoginTrouble } from '../login/trouble'
import { go, useSearch } from '../router'
import { useSession } from '../session'
import { Badge } from '../ui/badges'
import { Dialog } from '../ui/dialog'
import { Field } from '../ui/form'
import { Table } from '../ui/list'
import { Page, Panel } from '../ui/page'
import { Empty, Stand } from '../ui/state'
import { Line } from '../ui/text'
import { Ago, Time } from '../ui/time'
import { Codes, SecondFactor } from './account/second'
import { Tokens } from './account/tokens'

const words = dictionary({
  account: 'My account', role: 'Role', tenant: 'Tenant', raw: 'may read raw content',
  firstTitle: 'Add a second step', first: 'A password can be seen or guessed. An authenticator app or a passkey beside it keeps others out, even then.', later: 'Not now: to the overview', done: 'Done: to the overview',
  ways: 'Ways in', provider: 'Your single sign-on ({name}) holds your ways in; change them there.',
  password: 'Password', change: 'Change', old: 'Password of now', fresh: 'New password', freshHint: 'At least 12 characters. Your other sessions end.', save: 'Save',
  passkeys: 'Passkeys', addPasskey: 'Add a passkey', label: 'What you call it', noPasskeys: 'None yet. A passkey is the key of a phone, a computer or a stick; it needs neither name nor password.',
  byName: 'Open the console by a host name to use passkeys; addresses cannot have them.',
  made: 'Added', used: 'Last used', forget: 'Forget',
  sessions: 'Sessions', own: 'this one', from: 'From', way: 'By', agent: 'Browser', seen: 'Last used', ends: 'Ends', end: 'End', endOthers: 'End all others',
}, {
  account: '我的账户', role: '角色', tenant: '租户', raw: '可读取原始内容',
  firstTitle: '添加第二步验证', first: '密码可能被看到或猜到。验证器应用或通行密钥能在这种情况下仍将他人拒之门外。', later: '暂不：前往总览', done: '完成：前往总览',
  ways: '登录方式', provider: '您的登录方式由单点登录（{name}）管理，请在那里更改。',
  password: '密码', change: '更改', old: '当前密码', fresh: '新密码', freshHint: '至少 12 个字符。您的其他会话将结束。', save: '保存',
  passkeys: '通行密钥', addPasskey: '添加通行密钥', label: '名称', noPasskeys: '暂无。通行密钥是手机、电脑或安全密钥中的钥匙，无需用户名和密码。',
  byName: '请用主机名打开控制台以使用通行密钥；IP 地址不支持通行密钥。',
  made: '添加时间', used: '最近使用', forget: '删除',
  sessions: '会话', own: '当前会话', from: '来源', way: '方式', agent: '浏览器', seen: '最近使用', ends: '到期', end: '结束', endOthers: '结束其他所有会话',
})

export default function Account() {
  const t = useWords(words)
  const { me } = useSession()
  const first = useSearch().get('first') !== null
  const local = !me.ways?.provider
  const strong = !!me.ways?.totp || (me.ways?.passkeys ?? []).length > 0
  return (
    <Page title={t('account')} name={t('account')}>
      {first && (
        <div className="notice">
          <p><strong>{t('firstTitle')}</strong></p>
          <p>{t('first')}</p>
          <button type="button" className={strong ? 'button primary' : 'button'} onClick={() => go('/', { replace: true })}>{strong ? t('done') : t('later')}</button>
        </div>
      )}
      <div className="stack wide-gap">
        <p className="row"><strong><Line text={me.name} /></strong> <Badge>{me.role}</Badge> <span className="muted">{t('tenant')} {me.tenant}</span>{(me.permissions ?? []).includes('raw') && <Badge tone="accent">{t('raw')}</Badge>}</p>
        {local
          ? <div className="columns"><SecondFactor /><Passkeys /><Password /></div>
          : <Panel title={t('ways')}><p>{t('provider', { name: me.ways?.provider ?? '' })}</p></Panel>}
        <Sessions />
        <Tokens />
      </div>
    </Page>
  )
}

function Password() {
  const t = useWords(words)
  const { reload } = useSession()
  const [open, setOpen] = useState(false)
  const [old, setOld] = useState('')
  const [fresh, setFresh] = useState('')
  const change = useChange(() => api.post('/v1/me/password', { body: { old, new: fresh } }))
  const submit = async (e: FormEvent) => {
    e.preventDefault()
    if (!await change.run()) return
    await reload()
    setOpen(false); setOld(''); setFresh('')
  }
  return (
    <Panel title={t('password')} actions={<button type="button" className="button" onClick={() => setOpen(true)}>{t('change')}</button>}>
      <p className="muted">{t('freshHint')}</p>
      {open && <Dialog title={t('password')} onClose={() => setOpen(false)}>
        <form className="form" onSubmit={e => void submit(e)}>
          <Field label={t('old')} type="password" autoComplete="current-password" required autoFocus value={old} onChange={e => setOld(e.target.value)} />
          <Field label={t('fresh')} hint={t('freshHint')} type="password" autoComplete="new-password" minLength={12} required value={fresh} onChange={e => setFresh(e.target.value)} />
          {change.error && <LoginTrouble problem={change.error} />}
          <button className="button primary" disabled={change.busy}>{t('save')}</button>
        </form>
      </Dialog>}
    </Panel>
  )
}

function Passkeys() {
  const t = useWords(words)
  const { me, reload } = useSession()
  const [label, setLabel] = useState<string | null>(null)
  const [codes, setCodes] = useState<string[]>()
  const add = useChange(addPasskey)
  const drop = useChange((id: string) => api.delete('/v1/me/passkeys/{id}', { path: { id } }))
  const keys = me.ways?.passkeys ?? []
  const submit = async (e: FormEvent) => {
    e.preventDefault()
    const r = await add.run(label ?? '')
    if (!r) return
    setLabel(null)
    await reload()
    if (r.codes?.length) setCodes(r.codes) // with the first second factor, shown this once
  }
  return (
    <Panel title={t('passkeys')} actions={passkeysHere() && <button type="button" className="button" onClick={() => setLabel('')}>{t('addPasskey')}</button>}>
      {!passkeysHere() && <p className="muted">{t('byName')}</p>}
      {keys.length === 0 && passkeysHere() && <p className="muted">{t('noPasskeys')}</p>}
      {keys.length > 0 && <ul className="rows">{keys.map(k => (
        <li key={k.id}><span className="grow"><Line text={k.label} /> <small className="muted">{k.site} · {t('made')} <Time at={k.made} />{k.used && <> · {t('used')} <Ago at={k.used} /></>}</small></span>
          <button type="button" className="button quiet" disabled={drop.busy} onClick={() => void drop.run(k.id).then(r => r && reload())}>{t('forget')}</button></li>
      ))}</ul>}
      {(drop.error ?? add.error) && <LoginTrouble problem={(drop.error ?? add.error)!} />}
      {codes && <Codes codes={codes} onClose={() => setCodes(undefined)} />}
      {label !== null && <Dialog title={t('addPasskey')} onClose={() => setLabel(null)}>
        <form className="form" onSubmit={e => void submit(e)}>
          <Field label={t('label')} value={label} maxLength={64} onChange={e => setLabel(e.target.value)} autoFocus />
          {add.error && <LoginTrouble problem={add.error} />}
          <button className="button primary" disabled={add.busy}>{t('addPasskey')}</button>
        </form>
      </Dialog>}
    </Panel>
  )
}

function Sessions() {
  const t = useWords(words)
  const list = useGet('/v1/sessions')
  const end = useChange((id: string) => api.delete('/v1/sessions/{id}', { path: { id } }))
  const others = useChange(() => api.post('/v1/sessions/end-others'))
  return (
    <Panel title={t('sessions')} className="flush" actions={<button type="button" className="button" disabled={others.busy} onClick={() => void others.run().then(list.reload)}>{t('endOthers')}</button>}>
      {(end.error ?? others.error) && <LoginTrouble problem={(end.error ?? others.error)!} />}
      <Stand of={list}>{rows => (rows ?? []).length === 0 ? <Empty title={t('sessions')} /> : (
        <Table<Schema['ListedSession']> label={t('sessions')} rows={rows ?? []} keyOf={s => s.id}
          columns={[
            { name: 'from', head: t('from'), kind: 'narrow', cell: s => <>{s.address} {s.own && <Badge tone="accent">{t('own')}</Badge>}</> },
            { name: 'way', head: t('way'), kind: 'narrow', cell: s => s.way },
            { name: 'agent', head: t('agent'), kind: 'grow', cell: s => <Line text={s.agent} /> },
            { name: 'seen', head: t('seen'), kind: 'narrow', cell: s => <Ago at={s.seen} /> },
            { name: 'ends', head: t('ends'), kind: 'narrow', cell: s => <Time at={s.expires} /> },
            { name: 'end', head: '', kind: 'narrow', cell: s => !s.own && <button type="button" className="button quiet" disabled={end.busy} onClick={() => void end.run(s.id).then(list.reload)}>{t('end')}</button> },
          ]} />
      )}</Stand>
    </Panel>
  )
}
