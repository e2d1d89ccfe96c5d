// SPDX-License-Identifier: Apache-2.0
import { useState, type FormEvent } from 'react'
import { api, type Schema } from '../../api/client'
import { useChange, useGet } from '../../api/query'
import { dictionary, useWords } from '../../i18n'
import { LoginTrouble } from '../../login/trouble'
import { useSession } from '../../session'
import { Dialog } from '../../ui/dialog'
import { Field } from '../../ui/form'
import { Table } from '../../ui/list'
import { Panel } from '../../ui/page'
import { Empty, Stand } from '../../ui/state'
import { Line } from '../../ui/text'
import { Ago, Time } from '../../ui/time'

const words = dictionary({
  title: 'API tokens', make: 'Make a token', none: 'No tokens.', noneHelp: 'A token lets a program ask the API as you, with no more than you give it.',
  name: 'Name', scopes: 'It may', made: 'Made', used: 'Last used', ends: 'Ends', revoke: 'Revoke', secret: 'This is shown only now:', done: 'I have kept it', go: 'Make it',
}, {
  title: 'API 令牌', make: '创建令牌', none: '没有令牌。', noneHelp: '令牌让程序以您的身份访问 API，权限不超过您所给予的。',
  name: '名称', scopes: '权限', made: '创建时间', used: '最近使用', ends: '到期', revoke: '吊销', secret: '仅此一次显示：', done: '我已保存', go: '创建',
})

/** Tokens are those of the one who sits here. */
export function Tokens() {
  const t = useWords(words)
  const { me } = useSession()
  const list = useGet('/v1/tokens')
  const [open, setOpen] = useState(false)
  const [name, setName] = useState('')
  const [scopes, setScopes] = useState<string[]>(['read'])
  const [secret, setSecret] = useState<string>()
  const make = useChange(() => api.post('/v1/tokens', { body: { name, scopes: scopes as Schema['TokenRequest']['scopes'] } }))
  const revoke = useChange((id: string) => api.delete('/v1/tokens/{id}', { path: { id } }))
  const submit = async (e: FormEvent) => {
    e.preventDefault()
    const k = await make.run()
    if (!k) return
    setSecret(k.secret)
    list.reload()
  }
  const close = () => { setOpen(false); setSecret(undefined); setName('') }
  return (
    <Panel title={t('title')} className="flush" actions={<button type="button" className="button" onClick={() => setOpen(true)}>{t('make')}</button>}>
      {revoke.error && <LoginTrouble problem={revoke.error} />}
      <Stand of={list}>{rows => (rows ?? []).length === 0 ? <Empty title={t('none')}>{t('noneHelp')}</Empty> : (
        <Table<Schema['Token']> label={t('title')} rows={rows ?? []} keyOf={k => k.id}
          columns={[
            { name: 'name', head: t('name'), kind: 'grow', cell: k => <Line text={k.name} /> },
            { name: 'scopes', head: t('scopes'), cell: k => (k.scopes ?? []).join(', ') },
            { name: 'made', head: t('made'), kind: 'narrow', cell: k => <Time at={k.made} /> },
            { name: 'used', head: t('used'), kind: 'narrow', cell: k => <Ago at={k.used} /> },
            { name: 'ends', head: t('ends'), kind: 'narrow', cell: k => <Time at={k.expires} /> },
            { name: 'revoke', head: '', kind: 'narrow', cell: k => <button type="button" className="button quiet" disabled={revoke.busy} onClick={() => void revoke.run(k.id).then(list.reload)}>{t('revoke')}</button> },
          ]} />
      )}</Stand>
      {open && <Dialog title={t('make')} onClose={close}>
        {secret
          ? <><p>{t('secret')}</p><pre className="secret">{secret}</pre><button type="button" className="button primary" onClick={close}>{t('done')}</button></>
          : <form className="form" onSubmit={e => void submit(e)}>
            <Field label={t('name')} value={name} maxLength={64} required autoFocus onChange={e => setName(e.target.value)} />
            <fieldset className="choices"><legend>{t('scopes')}</legend>{(me.permissions ?? []).map(p => (
              <label key={p}><input type="checkbox" checked={scopes.includes(p)} onChange={e => setScopes(s => e.target.checked ? [...s, p] : s.filter(x => x !== p))} /> {p}</label>
            ))}</fieldset>
            {make.error && <LoginTrouble problem={make.error} />}
            <button className="button primary" disabled={make.busy || scopes.length === 0}>{t('go')}</button>
          </form>}
      </Dialog>}
    </Panel>
  )
}
