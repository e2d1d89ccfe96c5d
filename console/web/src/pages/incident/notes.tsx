// SPDX-License-Identifier: Apache-2.0
import { useId, useState, type FormEvent } from 'react'
import { api } from '../../api/client'
import { useChange, useGet } from '../../api/query'
import { dictionary, useWords } from '../../i18n'
import { useSession } from '../../session'
import { Panel } from '../../ui/page'
import { Stand, Trouble } from '../../ui/state'
import { Line, Shown } from '../../ui/text'
import { Time } from '../../ui/time'

const words = dictionary({ title: 'Notes', none: 'No notes yet.', write: 'Write a note', add: 'Add', hint: 'Notes stay as they are; the audit chain names who wrote them.' },
  { title: '备注', none: '暂无备注。', write: '写备注', add: '添加', hint: '备注不可修改；审计链记录作者。' })

export function Notes({ id }: { id: string }) {
  const t = useWords(words)
  const field = useId()
  const { may } = useSession()
  const notes = useGet('/v1/incidents/{id}/notes', { path: { id } })
  const [text, setText] = useState('')
  const add = useChange(() => api.post('/v1/incidents/{id}/notes', { path: { id }, body: { text: text.trim() } }))
  const submit = async (e: FormEvent) => {
    e.preventDefault()
    if (!text.trim() || !await add.run()) return // what was typed stays when it failed
    setText('')
    notes.reload()
  }
  return (
    <Panel title={t('title')}>
      <Stand of={notes}>{list => (list ?? []).length === 0 ? <p className="muted">{t('none')}</p> : (
        <ul className="notes">{(list ?? []).map(n => <li key={n.id}><p className="small muted"><Line text={n.author} /> · <Time at={n.at} /></p><p className="note-text"><Shown text={n.text} most={1200} lines /></p></li>)}</ul>
      )}</Stand>
      {may('annotate') && <form className="form" onSubmit={e => void submit(e)}>
        <label className="sr-only" htmlFor={field}>{t('write')}</label>
        <textarea id={field} rows={3} maxLength={16384} placeholder={t('write')} value={text} onChange={e => setText(e.target.value)} />
        {add.error && <Trouble problem={add.error} />}
        <div className="row"><button className="button" disabled={add.busy || !text.trim()}>{t('add')}</button><span className="hint grow">{t('hint')}</span></div>
      </form>}
    </Panel>
  )
}
