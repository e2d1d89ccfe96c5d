// SPDX-License-Identifier: Apache-2.0

// When it happened: a line of time below the graph. A mark points at its node there, and
// whatever is pointed at is lit here.
import type { Schema } from '../../api/client'
import { dictionary, useWords } from '../../i18n'
import { stamp, span } from '../../ui/time'
import { plainText } from '../../ui/visible'
import type { Pointed } from '../incident'
import type { Picture } from './fold'

const words = dictionary({ title: 'When it happened', over: 'over {span}', action: 'answer' }, { title: '时间线', over: '历时 {span}', action: '处置' })

interface Mark { at: number; key: string; node?: string; text: string; tone: string; row: number }

/** spread gives marks that would cover each other rows of their own. */
function spread(marks: Omit<Mark, 'row'>[], from: number, to: number): Mark[] {
  const last: number[] = [] // per row, where its last mark ends, in parts of the whole
  const whole = Math.max(1, to - from)
  return marks.sort((a, b) => a.at - b.at).map(m => {
    const x = (m.at - from) / whole
    let row = last.findIndex(end => end <= x)
    if (row < 0) row = last.length < 4 ? last.length : 0
    last[row] = x + 0.014
    return { ...m, row }
  })
}

export function Timeline({ picture, findings, actions, nodeOf, pointed }: { picture: Picture; findings: readonly Schema['Finding'][]; actions: readonly Schema['Action'][]; nodeOf: ReadonlyMap<string, string>; pointed: Pointed }) {
  const t = useWords(words)
  const black = findings.filter(f => f.colour === 'black')
  const entry = picture.nodes.find(n => n.entry)
  const raw: Omit<Mark, 'row'>[] = [
    ...(entry ? [{ at: Date.parse(entry.first), key: 'entry', node: entry.id, text: plainText(entry.label), tone: 'entry' }] : []),
    ...black.map(f => ({ at: Date.parse(f.time), key: f.id, node: nodeOf.get(f.id), text: plainText(f.title), tone: f.severity })),
    ...actions.map(a => ({ at: Date.parse(a.ordered), key: a.id, text: `${t('action')}: ${a.kind} ${plainText(a.target)}`, tone: 'action' })),
  ]
  if (raw.length < 2) return null
  const from = Math.min(...raw.map(m => m.at)), to = Math.max(...raw.map(m => m.at), from + 1)
  const x = (at: number) => `${1 + 98 * (at - from) / (to - from)}%`
  const marks = spread(raw, from, to)
  const rows = Math.max(...marks.map(m => m.row)) + 1
  return (
    <section className="timeline" aria-label={t('title')}>
      <div className="timeline-line" style={{ height: 14 + rows * 14 }}>
        {picture.nodes.slice(0, 400).map(n => { const at = Date.parse(n.first); return at >= from && at <= to && <i key={n.id} className="tick" style={{ left: x(at) }} /> })}
        {marks.map(m => (
          <button key={m.key} type="button" className={`time-mark tone-${m.tone}${m.node && (m.node === pointed.hover || m.node === pointed.node) ? ' lit' : ''}`} style={{ left: x(m.at), bottom: 8 + m.row * 14 }}
            title={`${stamp(new Date(m.at), new Date(), true)} ${m.text}`} aria-label={`${stamp(new Date(m.at), new Date(), true)} ${m.text}`}
            onClick={() => m.node && pointed.select(m.node)} onMouseEnter={() => m.node && pointed.point(m.node)} onMouseLeave={() => pointed.point(null)} onFocus={() => m.node && pointed.point(m.node)} onBlur={() => pointed.point(null)} />
        ))}
      </div>
      <p className="timeline-ends num"><span>{stamp(new Date(from), new Date(), true)}</span><span className="muted">{t('over', { span: span(to - from) })}</span><span>{stamp(new Date(to), new Date(), true)}</span></p>
    </section>
  )
}
