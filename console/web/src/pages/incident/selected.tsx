// SPDX-License-Identifier: Apache-2.0
import { useState } from 'react'
import type { Schema } from '../../api/client'
import { useOffers } from '../../api/offers'
import { dictionary, useWords } from '../../i18n'
import { addressOf, draftsFor, useActionWord, type Draft } from '../../order/kinds'
import { Order, path } from '../../order/order'
import { Link } from '../../router'
import { May } from '../../session'
import { SeverityBadge, Technique } from '../../ui/badges'
import { HostLink, useKindWord } from '../../ui/entity'
import { Icon, iconOf } from '../../ui/icons'
import { Line, Shown } from '../../ui/text'
import { Time } from '../../ui/time'
import { plainText } from '../../ui/visible'
import type { Picture } from './fold'
import { useDeed } from './words'

const words = dictionary({
  close: 'Close', host: 'Host', first: 'First seen', last: 'Last seen', findings: 'Findings here', causes: 'Brought by', effects: 'Brought', more: '+{n} more',
  intel: 'What is known of it', gone: 'This entity is not in the graph any more.', guess: 'a guess', events: 'All its events',
  exe: 'program', 'command line': 'command line', pid: 'pid', uid: 'user id', 'working directory': 'working directory', container: 'container', ended: 'ended',
  path: 'path', sha256: 'SHA-256', size: 'bytes', 'earlier names': 'earlier names', from: 'from', to: 'to', method: 'method', target: 'target', site: 'site', client: 'client', status: 'status', 'user agent': 'user agent', script: 'script', upload: 'upload', name: 'name',
}, {
  close: '关闭', host: '主机', first: '首次出现', last: '最后出现', findings: '此处的发现', causes: '来自', effects: '引出', more: '还有 {n} 个',
  intel: '已知情报', gone: '此实体已不在图中。', guess: '推测', events: '它的全部事件',
  exe: '程序', 'command line': '命令行', pid: 'pid', uid: '用户编号', 'working directory': '工作目录', container: '容器', ended: '结束',
  path: '路径', sha256: 'SHA-256', size: '字节数', 'earlier names': '曾用名', from: '自', to: '至', method: '方法', target: '目标', site: '站点', client: '客户端', status: '状态', 'user agent': '用户代理', script: '脚本', upload: '上传', name: '名称',
})

/** Selected is the panel of the chosen node: its facts, what it rests on, where it leads. */
export function Selected({ id, picture, findings, incident, onClose, onSelect, onOrdered }: { id: string; picture: Picture; findings: readonly Schema['Finding'][]; incident: Schema['Incident']; onClose: () => void; onSelect: (id: string) => void; onOrdered: () => void }) {
  const t = useWords(words)
  const kind = useKindWord()
  const action = useActionWord()
  const [draft, setDraft] = useState<Draft>()
  const offered = useOffers('POST', path)
  const n = picture.nodes.find(n => n.id === id)
  const close = <button type="button" className="icon-button" aria-label={t('close')} onClick={onClose}><Icon name="close" /></button>
  if (!n) return <aside className="node-panel"><header>{close}</header><p className="muted">{t('gone')}</p></aside>
  const mine = findings.filter(f => (n.findings ?? []).includes(f.id))
  const facts = Object.entries(n.facts ?? {})
  const drafts = offered ? draftsFor(n, incident.id) : []
  const value = n.facts?.sha256 ?? (n.facts?.client && addressOf(n.facts.client)) ?? (n.kind === 'address' ? n.facts?.name : undefined)
  return (
    <aside className="node-panel" aria-label={kind(n.kind)}>
      <header><h3><Icon name={iconOf(n.kind)} /> {kind(n.kind)}</h3>{close}</header>
      <p className="node-label"><Shown text={n.label} most={300} mono /></p>
      {drafts.length > 0 && <May do="respond"><div className="row node-actions">{drafts.map(d => (
        <button key={d.kind + d.target} type="button" className="button small" title={plainText(d.target ?? '')} onClick={() => setDraft(d)}>{action(d.kind)}{drafts.length > 2 && <> <Line text={d.target ?? ''} mono most={40} /></>}…</button>
      ))}</div></May>}
      {draft && <Order draft={draft} onClose={() => setDraft(undefined)} onOrdered={onOrdered} />}
      <dl className="facts">
        {facts.map(([k, v]) => <div key={k}><dt>{k in words.en ? t(k as keyof typeof words.en) : k}</dt><dd><Shown text={v} most={240} mono /></dd></div>)}
        <div><dt>{t('host')}</dt><dd><HostLink host={n.host} /></dd></div>
        <div><dt>{t('first')}</dt><dd><Time at={n.first} ms /></dd></div>
        {n.last !== n.first && <div><dt>{t('last')}</dt><dd><Time at={n.last} ms /></dd></div>}
      </dl>
      {value && <p><Link to={`/intel?value=${encodeURIComponent(value)}`}>{t('intel')}</Link></p>}
      {mine.length > 0 && <><h3>{t('findings')}</h3><ul className="stack">{mine.map(f => (
        <li key={f.id}><SeverityBadge of={f} /> <Shown text={f.title} /> {(f.techniques ?? []).map(x => <Technique key={x} id={x} />)}</li>
      ))}</ul></>}
      <Neighbours title={t('causes')} edges={picture.edges.filter(e => e.to === id)} other={e => e.from} picture={picture} onSelect={onSelect} />
      <Neighbours title={t('effects')} edges={picture.edges.filter(e => e.from === id)} other={e => e.to} picture={picture} onSelect={onSelect} />
    </aside>
  )
}

const most = 12

function Neighbours({ title, edges, other, picture, onSelect }: { title: string; edges: Picture['edges']; other: (e: Picture['edges'][number]) => string; picture: Picture; onSelect: (id: string) => void }) {
  const t = useWords(words)
  const deed = useDeed()
  if (edges.length === 0) return null
  const labels = new Map(picture.nodes.map(n => [n.id, n.label]))
  return (
    <>
      <h3>{title}</h3>
      <ul className="neighbours">
        {edges.slice(0, most).map((e, i) => (
          <li key={i}><span className="muted small"><Time at={e.time} ms /> {deed(e.deed)}{e.count > 1 && ` ×${e.count}`}{e.guess && ` (${t('guess')})`}</span>
            <button type="button" className="text-button mono" onClick={() => onSelect(other(e))}><Shown text={labels.get(other(e)) ?? ''} most={100} /></button></li>
        ))}
        {edges.length > most && <li className="muted">{t('more', { n: edges.length - most })}</li>}
      </ul>
    </>
  )
}
