// SPDX-License-Identifier: Apache-2.0

// What was done about it: each action with the policy that ordered it, whether sensors saw
// it take hold, when it ends, and its undoing.
import { useState } from 'react'
import { api, type Schema } from '../../api/client'
import { useOffers } from '../../api/offers'
import { useChange, type Asked } from '../../api/query'
import { dictionary, useWords } from '../../i18n'
import { useActionWord, type Draft } from '../../order/kinds'
import { Order, path } from '../../order/order'
import { May } from '../../session'
import { State } from '../../ui/badges'
import { HostLink } from '../../ui/entity'
import { Icon } from '../../ui/icons'
import { Panel } from '../../ui/page'
import { Empty, Stand, Trouble } from '../../ui/state'
import { Line, Shown } from '../../ui/text'
import { Time } from '../../ui/time'
import { plainText } from '../../ui/visible'

const words = dictionary({
  title: 'Answer', none: 'Nothing was done.', noneHelp: 'The policy observes, or ordered nothing for this. It is set under brain.policy.',
  undo: 'Undo', asked: 'asked', until: 'ends by itself', by: 'policy', person: 'ordered by', because: 'because', when: 'ordered', result: 'result', sees: 'sensors see that it holds',
}, {
  title: '处置', none: '尚未采取行动。', noneHelp: '策略处于观察阶段，或未对此下令。策略在 brain.policy 中设置。',
  undo: '撤销', asked: '已请求', until: '自动结束于', by: '策略', person: '下令人', because: '原因', when: '下令', result: '结果', sees: '传感器确认生效',
})

export function Answer({ incident: i, actions }: { incident: Schema['Incident']; actions: Asked<{ items: Schema['Action'][] | null }> }) {
  const t = useWords(words)
  const kind = useActionWord()
  const [draft, setDraft] = useState<Draft>()
  const offered = useOffers('POST', path)
  const client = i.entry?.request?.flow?.src_ip ?? (i.entry?.kind === 'address' ? i.entry.text : undefined)
  const hosts = i.hosts ?? []
  const host = i.entry?.host ?? hosts[0]
  const drafts: Draft[] = [
    ...(client && host ? [{ kind: 'block_address' as const, host, target: client, incident: i.id }] : []),
    ...hosts.map(host => ({ kind: 'isolate_host' as const, host, incident: i.id })),
  ]
  return (
    <Panel title={t('title')} actions={offered && drafts.length > 0 && <May do="respond"><span className="row">{drafts.slice(0, 4).map(d => (
      <button key={d.kind + d.host} type="button" className="button small" title={plainText(d.target ?? d.host)} onClick={() => setDraft(d)}>{kind(d.kind)}{d.kind === 'isolate_host' && hosts.length > 1 && <> <Line text={d.host} most={24} /></>}…</button>
    ))}</span></May>}>
      {draft && <Order draft={draft} onClose={() => setDraft(undefined)} onOrdered={actions.reload} />}
      <Stand of={actions}>{p => (p.items ?? []).length === 0 ? <Empty title={t('none')}>{t('noneHelp')}</Empty> : (
        <ul className="rows actions">{(p.items ?? []).map(a => <Done key={a.id} action={a} />)}</ul>
      )}</Stand>
    </Panel>
  )
}

function Done({ action: a }: { action: Schema['Action'] & { by?: string } }) {
  const t = useWords(words)
  const person = a.by
  const kind = useActionWord()
  const [open, setOpen] = useState(false)
  const [asked, setAsked] = useState(false)
  const undo = useChange(() => api.post('/v1/actions/{id}/undo', { path: { id: a.id } }))
  return (
    <li className="action">
      <div className="row nowrap">
        <button type="button" className="action-open" aria-expanded={open} onClick={() => setOpen(o => !o)}><Icon name={open ? 'down' : 'right'} size={12} /> <span className="action-kind">{kind(a.kind)}</span> <Line text={a.target} mono /></button>
        {a.verified && <span className="small is-white" title={t('sees')}><Icon name="check" size={12} /></span>}<State of={a.state} />
        {a.live && <May do="respond">{asked ? <span className="muted small">{t('asked')}</span> : <button type="button" className="button small" disabled={undo.busy} onClick={() => void undo.run().then(r => r && setAsked(true))}>{t('undo')}</button>}</May>}
      </div>
      {open && <dl className="facts action-facts">
        <div><dt>{t('when')}</dt><dd><Time at={a.ordered} ms /> · <HostLink host={a.host} /></dd></div>
        <div><dt>{t('because')}</dt><dd><Shown text={a.reason} most={240} /></dd></div>
        {person && <div><dt>{t('person')}</dt><dd><Line text={person} /></dd></div>}
        {a.policy && <div><dt>{t('by')}</dt><dd><code><Shown text={a.policy} most={40} /></code> <State of={a.stage} /></dd></div>}
        {a.result && <div><dt>{t('result')}</dt><dd><Shown text={a.result} most={240} /></dd></div>}
        {a.live && <div><dt>{t('until')}</dt><dd><Time at={a.deadline} /></dd></div>}
      </dl>}
      {undo.error && <Trouble problem={undo.error} />}
    </li>
  )
}
