// SPDX-License-Identifier: Apache-2.0

// What it rests on: the findings, the reasons of each, and the recorded events below.
import { useState } from 'react'
import type { Schema } from '../../api/client'
import { raw } from '../../api/client'
import { useAsk, type Asked } from '../../api/query'
import { count, dictionary, useWords } from '../../i18n'
import { SeverityBadge, State, Technique } from '../../ui/badges'
import { EntityLine } from '../../ui/entity'
import { Icon } from '../../ui/icons'
import { Panel } from '../../ui/page'
import { Empty, Stand } from '../../ui/state'
import { Shown } from '../../ui/text'
import { Time } from '../../ui/time'
import type { Pointed } from '../incident'
import { eventsSQL, rowsOf } from './events'

const words = dictionary({
  title: 'Evidence', none: 'No finding is listed any more.', noneHelp: 'Findings are kept as long as the archive keeps its events.',
  grey: 'with context', because: 'Because', about: 'About', events: 'Recorded events', show: 'Show {n} recorded events', rule: 'Rule', by: 'By', bundle: 'Bundle', weight: 'log-odds {w}', gone: 'The archive has none of them any more.',
  inGraph: 'in the graph', first: 'The first 500 findings are shown.',
}, {
  title: '证据', none: '已没有发现。', noneHelp: '发现的保留时间与存档事件相同。',
  grey: '包括背景', because: '原因', about: '涉及', events: '原始事件', show: '显示 {n} 条原始事件', rule: '规则', by: '来自', bundle: '策略包', weight: '对数几率 {w}', gone: '存档中已没有这些事件。',
  inGraph: '在图中', first: '仅显示前 500 个发现。',
})

export function Evidence({ findings, nodeOf, pointed }: { findings: Asked<{ items: Schema['Finding'][] | null; next?: string }>; nodeOf: ReadonlyMap<string, string>; pointed: Pointed }) {
  const t = useWords(words)
  const [grey, setGrey] = useState(false)
  return (
    <Panel title={t('title')} className="flush" actions={<label className="inline"><input type="checkbox" checked={grey} onChange={e => setGrey(e.target.checked)} /> {t('grey')}</label>}>
      <Stand of={findings}>{p => {
        const list = (p.items ?? []).filter(f => grey || f.colour === 'black')
        if (list.length === 0) return <Empty title={t('none')}>{t('noneHelp')}</Empty>
        return (
          <>
            <ul className="evidence">{list.map(f => <Item key={f.id} finding={f} node={nodeOf.get(f.id)} pointed={pointed} />)}</ul>
            {p.next && <p className="graph-note">{t('first')}</p>}
          </>
        )
      }}</Stand>
    </Panel>
  )
}

function Item({ finding: f, node, pointed }: { finding: Schema['Finding']; node: string | undefined; pointed: Pointed }) {
  const t = useWords(words)
  const [open, setOpen] = useState(false)
  const lit = node && (node === pointed.hover || node === pointed.node)
  return (
    <li className={lit ? 'lit' : undefined} onMouseEnter={() => node && pointed.point(node)} onMouseLeave={() => pointed.point(null)}>
      <div className="evidence-head">
        <button type="button" className="evidence-open" aria-expanded={open} onClick={() => setOpen(o => !o)}>
          <Icon name={open ? 'down' : 'right'} size={12} /> <Time at={f.time} ms />
          {f.colour === 'black' ? <SeverityBadge of={f} /> : <State of={f.colour} />}
          <span className="evidence-title"><Shown text={f.title} most={200} /> {(f.techniques ?? []).map(x => <Technique key={x} id={x} />)}</span>
          <span className="muted small">{f.layer}/{f.stage}</span>
        </button>
        {node && <button type="button" className="text-button small" onClick={() => pointed.select(node)}>{t('inGraph')}</button>}
      </div>
      {open && <Detail finding={f} />}
    </li>
  )
}

function Detail({ finding: f }: { finding: Schema['Finding'] }) {
  const t = useWords(words)
  const [events, setEvents] = useState(false)
  return (
    <div className="evidence-detail">
      {(f.evidence ?? []).length > 0 && <><h3>{t('because')}</h3><ul className="reasons">{(f.evidence ?? []).map((e, n) => (
        <li key={n}><Shown text={e.what} most={300} />{e.where && <> <Shown text={e.where} most={300} mono /></>} <span className="muted small num" title={e.root}>{t('weight', { w: e.weight.toFixed(1) })}</span></li>
      ))}</ul></>}
      {(f.subjects ?? []).length > 0 && <><h3>{t('about')}</h3><ul>{(f.subjects ?? []).map((e, n) => <li key={n}><EntityLine entity={e} wrap /></li>)}</ul></>}
      <p className="muted small">{t('rule')} <code><Shown text={f.rule} /></code>{f.rule_version && <> <code>{f.rule_version.slice(0, 12)}</code></>}{f.bundle && <> · {t('bundle')} <code>{f.bundle.slice(0, 24)}</code></>}</p>
      {(f.events ?? []).length > 0 && (events ? <RawEvents ids={f.events ?? []} /> : <button type="button" className="text-button" onClick={() => setEvents(true)}>{t('show', { n: count((f.events ?? []).length) })}</button>)}
    </div>
  )
}

/** RawEvents are the recorded events, as the archive has them. */
export function RawEvents({ ids }: { ids: readonly string[] }) {
  const t = useWords(words)
  const asked = useAsk(ids.join(' '), async signal => {
    const res = await raw('POST', '/v1/hunt', { body: { sql: eventsSQL(ids), rows: 200, seconds: 20 }, signal })
    return rowsOf(await res.text())
  })
  return (
    <Stand of={asked}>{rows => rows.length === 0 ? <p className="muted">{t('gone')}</p> : (
      <div className="stack"><h3>{t('events')}</h3>{rows.map((r, n) => (
        <dl key={n} className="raw-event">{Object.entries(r).map(([k, v]) => <div key={k}><dt>{k}</dt><dd><Shown text={v} most={300} mono /></dd></div>)}</dl>
      ))}</div>
    )}</Stand>
  )
}
