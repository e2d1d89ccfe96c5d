// SPDX-License-Identifier: Apache-2.0
import { BaseEdge, EdgeLabelRenderer, getBezierPath, Handle, Position, ReactFlow, ReactFlowProvider, useReactFlow, type Edge as FlowEdge, type EdgeProps, type Node as FlowNode, type NodeProps } from '@xyflow/react'
import { useCallback, useEffect, useMemo, useRef, useState, type CSSProperties, type KeyboardEvent } from 'react'
import type { Schema } from '../../api/client'
import { count, dictionary, useWords } from '../../i18n'
import { useKindWord, useManyWord } from '../../ui/entity'
import { Icon, iconOf } from '../../ui/icons'
import { Line } from '../../ui/text'
import { plainText } from '../../ui/visible'
import type { Pointed } from '../incident'
import { fold, foldStep, type Folded, type Link, type Picture, type Seen } from './fold'
import { card, extent, layout } from './layout'
import { useDeed } from './words'

const words = dictionary({
  label: 'Attack graph. Arrow keys go from finding to finding; Tab reaches every card.', fit: 'Fit all', reset: 'Fold as at first', inn: 'Larger', out: 'Smaller', entry: 'entry',
  fold: '+{n} {kind}', finding: '1 finding', show: 'show {n}', below: '+{n} below', hide: 'fold', guess: 'a guess', findings: '{n} findings', times: '×{n}', legend: 'dashed: a guess of the trace, not seen',
  via: 'via', none: 'The graph has forgotten this incident, or nothing has been drawn yet.',
}, {
  label: '攻击图。方向键在各个发现之间移动；Tab 可到达每张卡片。', fit: '适应窗口', reset: '恢复折叠', inn: '放大', out: '缩小', entry: '入口',
  fold: '+{n} {kind}', finding: '1 个发现', show: '显示 {n} 个', below: '下有 {n} 个', hide: '折叠', guess: '推测', findings: '{n} 个发现', times: '×{n}', legend: '虚线：追踪的推测，并未看到',
  via: '经由', none: '图中已不再保留此事件，或尚未绘制。',
})

type Finding = Schema['Finding']

interface CardData extends Record<string, unknown> {
  seen: Seen
  severity: string
  findings: number
  home: string // the host of most of them; a card of another names its own
  selected: boolean
  hovered: boolean
  onPath: boolean
  click: (s: Seen) => void
  toggle: (s: Seen) => void
  point: (id: string | null) => void
}
interface LineData extends Record<string, unknown> { link: Link; lit: boolean; open: (id: string) => void }

const rank: Record<string, number> = { critical: 4, high: 3, medium: 2, low: 1 }

/** worst gives the worst severity of findings above grey. */
export function worst(findings: readonly Finding[]): string {
  return findings.filter(f => f.colour === 'black').reduce((w, f) => (rank[f.severity] ?? 0) > (rank[w] ?? 0) ? f.severity : w, '')
}

function EntityCard({ data }: NodeProps<FlowNode<CardData>>) {
  const t = useWords(words)
  const kind = useKindWord()
  const many = useManyWord()
  const found = data.findings === 1 ? t('finding') : t('findings', { n: data.findings })
  const { seen: s } = data
  const n = s.node
  if (!n) {
    const f = s.fold
    return (
      <div className="card fold" style={{ width: card.width, height: card.height }}>
        <Handle type="target" position={Position.Left} isConnectable={false} />
        <button type="button" onClick={() => data.toggle(s)} onFocus={() => data.point(s.id)}>
          <Icon name={iconOf(f?.kind ?? '')} />
          <span className="card-text">{t('fold', { n: count(f?.count ?? 0), kind: many(f?.kind ?? '') })}<small>{t('show', { n: Math.min(foldStep, f?.count ?? 0) })}</small></span>
        </button>
      </div>
    )
  }
  return (
    <div className={['card', data.severity && `sev-${data.severity}`, n.entry && 'entry', data.selected && 'selected', data.hovered && 'hovered', data.onPath && 'on-path'].filter(Boolean).join(' ')}
      style={{ width: card.width, height: card.height }} onMouseEnter={() => data.point(n.id)} onMouseLeave={() => data.point(null)}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <button type="button" aria-pressed={data.selected} title={plainText(n.label)} data-node={n.id} onClick={() => data.click(s)}>
        <Icon name={n.entry ? 'entry' : iconOf(n.kind)} />
        <span className="card-text"><Line text={brief(n)} most={120} />
          <small>{n.entry ? t('entry') : kind(n.kind)}{n.host && n.host !== data.home && <> · <Line text={n.host} most={40} /></>}{data.findings > 0 && <b className="num"> · {found}</b>}</small></span>
      </button>
      {(s.hidden > 0 || s.opened) && <button type="button" className="card-more" onClick={() => data.toggle(s)}>{s.opened ? t('hide') : t('below', { n: count(s.hidden) })}</button>}
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  )
}

/** tail is the end of a path that fits on a card, from a slash on where it can be. */
function tail(path: string): string {
  if (path.length <= fits) return path
  const end = path.slice(-fits + 1), slash = end.indexOf('/')
  return '…' + (slash > 0 && slash < fits - 6 ? end.slice(slash) : end)
}
const fits = 20

function decoded(query: string): string {
  try { return decodeURIComponent(query.replaceAll('+', ' ')) } catch { return query }
}

/** brief is a node's label without what the card says anyway. */
function brief(n: NonNullable<Seen['node']>): string {
  if (n.kind === 'process') return n.label.replace(/ \(pid \d+, uid \d+\)$/, '')
  if (n.kind === 'file') return tail(n.label)
  if (n.kind === 'request' && n.facts?.target) {
    const [path = '', query = ''] = n.facts.target.split('?')
    return `${n.facts.method ?? ''} ${path.length > 14 ? path.split('/').at(-1) ?? path : path}${query && '?' + decoded(query)}`
  }
  return n.label
}

/** short names a process by its program alone. */
function short(n: NonNullable<Seen['node']>): string {
  return n.facts?.exe?.split('/').at(-1) ?? n.label.split(/[ :]/)[0] ?? n.label
}

function DeedLine({ id, sourceX, sourceY, targetX, targetY, data }: EdgeProps<FlowEdge<LineData>>) {
  const deed = useDeed()
  const t = useWords(words)
  if (!data) return null
  const { link: l, lit, open } = data
  const [path] = getBezierPath({ sourceX, sourceY, targetX, targetY, sourcePosition: Position.Right, targetPosition: Position.Left, curvature: 0.35 })
  const text = l.deeds.slice(0, 2).map(deed).join(', ') + (l.deeds.length > 2 ? '…' : '')
  return (
    <>
      <BaseEdge id={id} path={path} className={['deed', l.guess && 'guess', !l.tree && 'cross', lit && 'lit'].filter(Boolean).join(' ')} interactionWidth={0} />
      <EdgeLabelRenderer>
        <span className={lit ? 'deed-label lit' : 'deed-label'} style={{ transform: `translate(-100%, -50%) translate(${targetX - 6}px, ${targetY - 9}px)` }} title={l.rules.join(', ')}>
          {text}{l.count > 1 && <> <span className="num">{t('times', { n: count(l.count) })}</span></>}{l.guess && ' ?'}
        </span>
        {l.via[0] && <button type="button" className="deed-via" style={{ transform: `translate(-100%, -50%) translate(${targetX - 6}px, ${targetY + 10}px)` }} title={l.via.map(v => plainText(v.node.label)).join(' → ')} onClick={() => l.via.forEach(v => open(v.id))}>
          {t('via')} <Line text={short(l.via[0].node)} most={14} />{l.via.length > 1 && ` +${l.via.length - 1}`}
        </button>}
      </EdgeLabelRenderer>
    </>
  )
}

const nodeTypes = { card: EntityCard }
const edgeTypes = { deed: DeedLine }

/** Graph draws the attack graph; what is pointed at elsewhere is lit in it. */
export function Graph(props: { picture: Picture; findings: readonly Finding[]; pointed: Pointed }) {
  const t = useWords(words)
  if (props.picture.nodes.length === 0) return <p className="graph-note">{t('none')}</p>
  return <ReactFlowProvider><Canvas {...props} /></ReactFlowProvider>
}

/** wayTo lists the seen ones from the entry to one of them. */
function wayTo(f: Folded, id: string | null): Set<string> {
  const out = new Set<string>()
  for (let at = id === null ? undefined : f.of(id); at !== undefined && !out.has(at); at = f.seen.get(at)?.parent ?? undefined) out.add(at)
  return out
}

function Canvas({ picture, findings, pointed }: { picture: Picture; findings: readonly Finding[]; pointed: Pointed }) {
  const t = useWords(words)
  const flow = useReactFlow()
  const box = useRef<HTMLDivElement>(null)
  const [opened, setOpened] = useState<ReadonlyMap<string, number>>(new Map())
  const grey = useMemo(() => new Set(findings.filter(f => f.colour !== 'black').map(f => f.id)), [findings])
  const folded = useMemo(() => fold(picture, opened, n => (n.findings ?? []).some(f => !grey.has(f))), [picture, opened, grey])
  const places = useMemo(() => layout(folded), [folded])
  const byNode = useMemo(() => {
    const known = new Map(findings.map(f => [f.id, f]))
    return new Map(picture.nodes.map(n => [n.id, (n.findings ?? []).flatMap(id => known.get(id) ?? [])]))
  }, [picture, findings])

  const toggle = useCallback((s: Seen) => setOpened(o => {
    const next = new Map(o)
    if (s.fold) next.set(s.id, (o.get(s.id) ?? 0) + foldStep)
    else if (o.has(s.id)) next.delete(s.id)
    else next.set(s.id, 1)
    return next
  }), [])
  const open = useCallback((id: string) => setOpened(o => new Map(o).set(id, 1)), [])
  const click = useCallback((s: Seen) => pointed.select(!s.node || s.node.id === pointed.node ? null : s.node.id), [pointed])
  const at = pointed.node, over = pointed.hover
  const lit = useMemo(() => wayTo(folded, over ?? at), [folded, at, over])

  const home = useMemo(() => picture.nodes.find(n => n.entry)?.host ?? picture.nodes[0]?.host ?? '', [picture])
  const nodes = useMemo<FlowNode<CardData>[]>(() => folded.order.map(s => {
    const found = s.node ? byNode.get(s.node.id) ?? [] : []
    return {
      id: s.id, type: 'card', position: places.get(s.id) ?? { x: 0, y: 0 }, width: card.width, height: card.height, draggable: false, selectable: false, focusable: false,
      data: { seen: s, home, severity: worst(found), findings: found.filter(f => f.colour === 'black').length, selected: at !== null && (s.node?.id === at || folded.of(at) === s.id), hovered: over !== null && (s.node?.id === over || folded.of(over) === s.id), onPath: lit.has(s.id), click, toggle, point: pointed.point },
    }
  }), [folded, places, byNode, home, at, over, lit, click, toggle, pointed.point])
  // Lines that cross the tree are drawn while one of their ends is pointed at: all at once
  // they would hide what led to what.
  const ends = useMemo(() => new Set([at, over].flatMap(id => id === null ? [] : folded.of(id) ?? [])), [folded, at, over])
  const edges = useMemo<FlowEdge<LineData>[]>(() => folded.links.filter(l => l.tree || ends.has(l.from) || ends.has(l.to)).map(link => {
    const bright = link.tree ? lit.has(link.from) && lit.has(link.to) : true
    return { id: link.id, type: 'deed', source: link.from, target: link.to, focusable: false, selectable: false, data: { link, lit: bright, open }, zIndex: bright ? 1 : 0 }
  }), [folded, lit, ends, open])

  const size = extent(places)
  const height = Math.max(220, Math.min(matchMedia('(max-width: 700px)').matches ? 380 : 520, size.height + 80))
  const fit = useCallback(() => void flow.fitBounds(extent(places), { padding: 0.06 }), [flow, places])
  // First the whole, unless that would be too small to read: then the entry.
  const begin = useCallback(() => {
    const width = box.current?.clientWidth ?? 800
    const zoom = Math.min(1, (width - 40) / size.width, (height - 40) / size.height)
    if (zoom >= 0.7) { fitNow(zoom, width); return }
    const zoom1 = 0.85, root = places.get(folded.order[0]?.id ?? '')?.y ?? 0
    // The entry in the middle, but no emptiness above the first row.
    void flow.setViewport({ x: 20, y: Math.min(30, height / 2 - (root + card.height / 2) * zoom1), zoom: zoom1 })
    function fitNow(zoom: number, width: number) { void flow.setViewport({ x: Math.max(20, (width - size.width * zoom) / 2), y: (height - size.height * zoom) / 2 - size.y * zoom, zoom }) }
  }, [flow, size.width, size.height, size.y, height, places, folded])
  const begun = useRef(false)
  useEffect(() => {
    if (begun.current) return
    begun.current = true
    begin()
  }, [begin])

  // What was chosen elsewhere comes into sight.
  useEffect(() => {
    const p = at === null || !begun.current ? undefined : places.get(folded.of(at) ?? '')
    const b = box.current
    if (!p || !b) return
    const { x, y, zoom } = flow.getViewport()
    const sx = p.x * zoom + x, sy = p.y * zoom + y
    if (sx < 0 || sy < 0 || sx + card.width * zoom > b.clientWidth || sy + card.height * zoom > b.clientHeight) void flow.setCenter(p.x + card.width / 2, p.y + card.height / 2, { zoom: Math.max(zoom, 0.7), duration: 200 })
  }, [at, flow, places, folded])

  const walk = (e: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key]
    if (by === undefined) return
    e.preventDefault()
    const all = picture.nodes.filter(n => (n.findings ?? []).some(f => !grey.has(f)))
    const now = all.findIndex(n => n.id === at)
    const next = all[now < 0 ? (by > 0 ? 0 : all.length - 1) : (now + by + all.length) % all.length]
    if (next) pointed.select(next.id)
  }
  return (
    <div className="graph" ref={box} style={{ '--graph': `${height}px` } as CSSProperties} role="group" aria-label={t('label')} tabIndex={0} onKeyDown={walk}>
      <ReactFlow nodes={nodes} edges={edges} nodeTypes={nodeTypes} edgeTypes={edgeTypes} onlyRenderVisibleElements minZoom={0.08} maxZoom={1.6}
        nodesDraggable={false} nodesConnectable={false} nodesFocusable={false} edgesFocusable={false} elementsSelectable={false} disableKeyboardA11y zoomOnScroll={false} preventScrolling={false} panOnScroll={false} proOptions={{ hideAttribution: true }} />
      <div className="graph-tools">
        <button type="button" className="icon-button" title={t('inn')} aria-label={t('inn')} onClick={() => void flow.zoomIn()}><Icon name="plus" /></button>
        <button type="button" className="icon-button" title={t('out')} aria-label={t('out')} onClick={() => void flow.zoomOut()}><Icon name="minus" /></button>
        <button type="button" className="icon-button" title={t('fit')} aria-label={t('fit')} onClick={fit}><Icon name="fit" /></button>
        {opened.size > 0 && <button type="button" className="button quiet" onClick={() => setOpened(new Map())}>{t('reset')}</button>}
      </div>
      {folded.links.some(l => l.guess) && <p className="graph-legend">{t('legend')}</p>}
    </div>
  )
}
