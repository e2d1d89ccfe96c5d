// SPDX-License-Identifier: Apache-2.0
import type { Schema } from '../../api/client'
import { useGet } from '../../api/query'
import { dictionary, useWords } from '../../i18n'
import { Link } from '../../router'
import { Badge, type Tone } from '../../ui/badges'
import { askable, useKindWord } from '../../ui/entity'
import { Panel } from '../../ui/page'
import { Empty, Loading, Trouble } from '../../ui/state'
import { Line } from '../../ui/text'
import { Time } from '../../ui/time'

const words = dictionary({
  title: 'Intel on indicators', none: 'It names no address, domain, URL or content.', unlisted: 'on no list', veto: 'allowed by {list}', own: 'seen before in {incident}', more: '+{n} more in the graph', expires: 'until',
}, {
  title: '指标情报', none: '未涉及地址、域名、URL 或内容。', unlisted: '不在任何名单中', veto: '由 {list} 允许', own: '曾在 {incident} 中出现', more: '图中还有 {n} 个', expires: '有效期至',
})

const most = 8

/** indicators are the values of an incident that intelligence can be asked for, each once. */
function indicators(i: Schema['Incident']): { value: string; kind: string }[] {
  const by = new Map<string, string>()
  for (const e of [...(i.entry ? [i.entry] : []), ...(i.entities ?? [])]) {
    const value = askable(e)
    if (value && !by.has(value)) by.set(value, e.kind === 'file' ? 'content' : e.kind === 'flow' || e.kind === 'request' ? 'address' : e.kind)
    const peer = e.flow?.dst_ip
    if (peer && !by.has(peer)) by.set(peer, 'address')
  }
  return [...by].map(([value, kind]) => ({ value, kind }))
}

export function Indicators({ incident }: { incident: Schema['Incident'] }) {
  const t = useWords(words)
  const all = indicators(incident)
  return (
    <Panel title={t('title')}>
      {all.length === 0 ? <Empty title={t('none')} /> : <ul className="rows">{all.slice(0, most).map(x => <Indicator key={x.value} {...x} />)}</ul>}
      {all.length > most && <p className="muted small">{t('more', { n: all.length - most })}</p>}
    </Panel>
  )
}

const tones: Record<string, Tone> = { malicious: 'critical', suspicious: 'high', benign: 'good', allowed: 'good' }

function Indicator({ value, kind }: { value: string; kind: string }) {
  const t = useWords(words)
  const word = useKindWord()
  const asked = useGet('/v1/intel', { query: { value } })
  const a = asked.data
  const matches = a?.lists.matches ?? []
  return (
    <li className="indicator">
      <div className="grow">
        <Link to={`/intel?value=${encodeURIComponent(value)}`}><Line text={value} mono /></Link> <span className="muted small">{word(kind)}</span>
        {matches.map((m, n) => <div key={n} className="small"><Line text={m.source} /> {(m.tags ?? []).map(x => <Badge key={x}><Line text={x} /></Badge>)} <span className="num">{m.confidence.toFixed(2)}</span>{m.expires && <span className="muted"> {t('expires')} <Time at={m.expires} /></span>}</div>)}
        {a?.lists.veto && <div className="small">{t('veto', { list: a.lists.veto })}</div>}
        {a?.own && <div className="small"><Link to={`/incidents/${a.own.incident}`}><Line text={t('own', { incident: a.own.incident })} /></Link> <Time at={a.own.first} /></div>}
      </div>
      {asked.error && <Trouble problem={asked.error} />}
      {!a && asked.loading && <Loading lines={1} />}
      {a && (matches.length > 0 || a.lists.veto ? <Badge tone={tones[a.lists.level] ?? 'medium'}>{a.lists.level}</Badge> : <span className="muted small">{t('unlisted')}</span>)}
    </li>
  )
}
