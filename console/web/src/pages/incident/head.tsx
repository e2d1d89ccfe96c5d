// SPDX-License-Identifier: Apache-2.0
import { api, type Schema } from '../../api/client'
import { useChange, useGet } from '../../api/query'
import { count, dictionary, useWords } from '../../i18n'
import { useSession } from '../../session'
import { SeverityBadge, State, Technique, useStateWords } from '../../ui/badges'
import { EntityLine, Hosts } from '../../ui/entity'
import { Trouble } from '../../ui/state'
import { Line, Shown } from '../../ui/text'
import { Time } from '../../ui/time'

const words = dictionary({
  opened: 'Opened', updated: 'Changed', hosts: 'Hosts', findings: 'Findings', techniques: 'Techniques', status: 'Status', assignee: 'Assigned to', nobody: 'nobody', mine: 'Take it',
  entry: 'Root cause', unknown: 'Where it came in is not known: the chain ends in something that was there before Ringwall, or that no sensor saw.',
  incomplete: 'Not everything could be seen', late: 'a sensor started late', lost: '{sensor}: {n} events lost', some: 'some', refused: 'the kernel refused {what}',
  rule: 'tied to it by {rule}', id: 'Id',
}, {
  opened: '开始', updated: '变更', hosts: '主机', findings: '发现', techniques: '技术', status: '处理', assignee: '负责人', nobody: '无人', mine: '由我处理',
  entry: '根本原因', unknown: '入口未知：链条止于 Ringwall 启动之前就存在的对象，或没有传感器看到的对象。',
  incomplete: '并非一切都能看到', late: '有传感器启动较晚', lost: '{sensor}：丢失 {n} 个事件', some: '若干', refused: '内核拒绝了 {what}',
  rule: '依据规则 {rule} 关联', id: '编号',
})

/** Head is what the incident is, in one line. */
export function Head({ incident: i }: { incident: Schema['Incident'] }) {
  return <span className="incident-title"><SeverityBadge of={i} /> <Shown text={i.title} most={200} /> <State of={i.state} /></span>
}

/** Facts are its data, its root cause, and what people say of it. */
export function Facts({ incident: i, reload }: { incident: Schema['Incident']; reload: () => void }) {
  const t = useWords(words)
  return (
    <div className="incident-facts">
      <div className="entry-line">
        <h2>{t('entry')}</h2>
        {i.entry ? <><EntityLine entity={i.entry} wrap /> <span className="muted small"><Time at={i.entry.time} ms /> · <Line text={i.entry.host ?? ''} />{i.entry_rule && <> · {t('rule', { rule: i.entry_rule })}</>}</span></> : <p className="muted">{t('unknown')}</p>}
      </div>
      <Desk incident={i} reload={reload} />
      <dl className="facts-row">
        <div><dt>{t('opened')}</dt><dd><Time at={i.opened} /></dd></div>
        <div><dt>{t('updated')}</dt><dd><Time at={i.updated} /></dd></div>
        <div><dt>{t('hosts')}</dt><dd><Hosts hosts={i.hosts} most={4} /></dd></div>
        <div><dt>{t('findings')}</dt><dd className="num">{count((i.findings ?? []).length)}</dd></div>
        <div><dt>{t('id')}</dt><dd><code>{i.id}</code></dd></div>
        {(i.techniques ?? []).length > 0 && <div className="techniques"><dt>{t('techniques')}</dt><dd>{(i.techniques ?? []).map(x => <Technique key={x} id={x} />)}</dd></div>}
      </dl>
      {i.completeness && <Incomplete of={i.completeness} />}
    </div>
  )
}

function Incomplete({ of: c }: { of: Schema['Completeness'] }) {
  const t = useWords(words)
  const parts = [
    ...(c.losses ?? []).map(l => t('lost', { sensor: `${l.sensor} ${l.class}`, n: l.count ? count(l.count) : t('some') })),
    ...(c.late_start ? [t('late')] : []), ...(c.refused ?? []).map(what => t('refused', { what })),
  ]
  return <p className="incomplete"><strong>{t('incomplete')}:</strong> <Shown text={parts.join('; ')} most={300} /></p>
}

/** Desk is status and assignee. A change names the version it rests on. */
function Desk({ incident: i, reload }: { incident: Schema['Incident']; reload: () => void }) {
  const t = useWords(words)
  const word = useStateWords()
  const { me, may } = useSession()
  const names = useGet(may('annotate') ? '/v1/user-names' : null)
  const change = useChange((body: { status?: Schema['Incident']['status']; assignee?: string }) => api.patch('/v1/incidents/{id}', { path: { id: i.id }, body: { ...body, version: i.version } }))
  // Whoever was faster is shown at once: what one looks at is what is there.
  const put = (body: { status?: Schema['Incident']['status']; assignee?: string }) => void change.run(body).then(() => reload())
  if (!may('annotate')) return <p className="desk row"><State of={i.status} /> <span className="muted">{t('assignee')}: <Line text={i.assignee || t('nobody')} /></span></p>
  const people = [...new Set([...(names.data ?? []), ...(i.assignee ? [i.assignee] : [])])]
  return (
    <div className="desk">
      <label className="inline">{t('status')} <select value={i.status} disabled={change.busy} onChange={e => put({ status: e.target.value as Schema['Incident']['status'] })}>
        {(['new', 'working', 'solved', 'ordinary'] as const).map(s => <option key={s} value={s}>{word(s)}</option>)}
      </select></label>
      <label className="inline">{t('assignee')} <select value={i.assignee} disabled={change.busy} onChange={e => put({ assignee: e.target.value })}>
        <option value="">{t('nobody')}</option>
        {people.map(n => <option key={n} value={n}>{n}</option>)}
      </select></label>
      {i.assignee !== me.name && <button type="button" className="button" disabled={change.busy} onClick={() => put({ assignee: me.name, ...(i.status === 'new' ? { status: 'working' } : {}) })}>{t('mine')}</button>}
      {change.error && <div className="desk-trouble"><Trouble problem={change.error} /></div>}
    </div>
  )
}
