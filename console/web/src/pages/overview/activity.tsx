// SPDX-License-Identifier: Apache-2.0
import type { Schema } from '../../api/client'
import { count, dictionary, useWords } from '../../i18n'
import { go } from '../../router'
import { Panel } from '../../ui/page'
import { stamp } from '../../ui/time'

export const layerWords = dictionary({ network: 'Network', file: 'File', behaviour: 'Behaviour', intel: 'Intel' }, { network: '网络', file: '文件', behaviour: '行为', intel: '情报' })

const words = dictionary({
  title: 'Findings over time', span: 'Span', h: '{n} h', d: '{n} days', total: '{n} findings above grey', bar: '{time}: {parts}', none: 'nothing', most: 'most in a step: {n}',
}, {
  title: '发现随时间的变化', span: '时间范围', h: '{n} 小时', d: '{n} 天', total: '{n} 个高于灰色的发现', bar: '{time}：{parts}', none: '无', most: '单步最多：{n}',
})

export const layers = ['network', 'file', 'behaviour', 'intel'] as const
const width = 720, height = 120

/** Activity shows how many findings each layer told in each step. */
export function Activity({ of, hours, onHours }: { of: Schema['Overview']; hours: number; onHours: (h: number) => void }) {
  const t = useWords(words)
  const l = useWords(layerWords)
  const step = of.step_s * 1000, since = Date.parse(of.since)
  const steps = Math.max(1, Math.round((Date.parse(of.until) - since) / step))
  const bars = Array.from({ length: steps }, () => new Map<string, number>())
  for (const b of of.activity ?? []) bars[Math.round((Date.parse(b.time) - since) / step)]?.set(b.layer, b.count)
  const sums = bars.map(b => [...b.values()].reduce((n, x) => n + x, 0))
  const top = Math.max(1, ...sums)
  const one = width / steps
  return (
    <Panel title={t('title')} className="activity" actions={(
      <div className="segments" role="group" aria-label={t('span')}>{[6, 24, 168].map(h => (
        <button key={h} type="button" aria-pressed={h === hours} onClick={() => onHours(h)}>{h < 100 ? t('h', { n: h }) : t('d', { n: h / 24 })}</button>
      ))}</div>
    )}>
      <div className="row legend">{layers.map(x => <span key={x}><i className={`swatch layer-${x}`} aria-hidden="true" /> {l(x)}</span>)}
        <span className="muted legend-total">{t('total', { n: count(sums.reduce((n, x) => n + x, 0)) })}</span></div>
      <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" className="bars" role="img" aria-label={`${t('title')}: ${t('total', { n: sums.reduce((n, x) => n + x, 0) })}, ${t('most', { n: Math.max(0, ...sums) })}`}>
        <line x1="0" x2={width} y1={height} y2={height} className="axis" vectorEffect="non-scaling-stroke" />
        {bars.map((b, i) => {
          const at = new Date(since + i * step)
          let y = height
          const parts = layers.filter(x => b.get(x)).map(x => `${l(x)} ${b.get(x)}`).join(', ')
          return (
            <g key={i} className={sums[i] ? 'bar full' : 'bar'} onClick={sums[i] ? () => go(`/findings?since=${encodeURIComponent(at.toISOString())}&until=${encodeURIComponent(new Date(at.getTime() + step).toISOString())}`) : undefined}>
              <title>{t('bar', { time: stamp(at), parts: parts || t('none') })}</title>
              <rect x={i * one} y="0" width={one} height={height} className="bar-ground" />
              {layers.map(x => {
                const h = (b.get(x) ?? 0) / top * (height - 14)
                y -= h
                return h > 0 && <rect key={x} x={i * one + 1} y={y} width={Math.max(1, one - 2)} height={Math.max(h, 1)} className={`layer-${x}`} />
              })}
            </g>
          )
        })}
      </svg>
      <p className="axis-labels num" aria-hidden="true">{[0, 0.25, 0.5, 0.75].map(f => <span key={f}>{stamp(new Date(since + f * steps * step)).slice(0, -3)}</span>)}</p>
    </Panel>
  )
}
