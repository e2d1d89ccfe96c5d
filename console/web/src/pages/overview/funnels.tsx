// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef, useState } from 'react'
import type { Schema } from '../../api/client'
import { count, dictionary, useWords } from '../../i18n'
import { Panel } from '../../ui/page'
import { Line } from '../../ui/text'
import { span } from '../../ui/time'
import { layers, layerWords } from './activity'

const words = dictionary({
  title: 'Funnels', where: 'Where', all: 'everywhere', brain: 'in the brain',
  stage: 'stage', in: 'in', white: 'white', black: 'black', grey: 'passed on', errors: 'could not look', per: '/s', p50: 'half of it within {p50}, 99 % within {p99}',
  nothing: 'No stage of this layer has judged yet.',
}, {
  title: '漏斗', where: '位置', all: '全部', brain: '大脑（brain）',
  stage: '阶段', in: '进入', white: '白', black: '黑', grey: '传递', errors: '无法检查', per: '/秒', p50: '一半在 {p50} 内，99% 在 {p99} 内',
  nothing: '该层尚无判定。',
})

type Stage = Schema['StageCount']

/** Funnels shows for each layer what came in, what left as white or black, and what went on. */
export function Funnels({ all }: { all: readonly Schema['Funnel'][] }) {
  const t = useWords(words)
  const l = useWords(layerWords)
  const [where, setWhere] = useState('*')
  const chosen = all.filter(f => where === '*' || f.host === where)
  const stages = chosen.flatMap(f => f.stages ?? [])
  const pace = usePace(stages, where)
  return (
    <Panel title={t('title')} className="funnels" actions={all.length > 1 && (
      <label className="inline">{t('where')} <select value={where} onChange={e => setWhere(e.target.value)}>
        <option value="*">{t('all')}</option>
        {all.map(f => <option key={f.host} value={f.host}>{f.host || t('brain')}</option>)}
      </select></label>
    )}>
      <div className="funnel-grid">{layers.map(layer => {
        const mine = join(stages.filter(s => s.layer === layer))
        const most = Math.max(1, ...mine.map(s => s.in))
        return (
          <section key={layer} aria-label={l(layer)}>
            <h3><i className={`swatch layer-${layer}`} aria-hidden="true" /> {l(layer)}</h3>
            {mine.length === 0 ? <p className="muted small">{t('nothing')}</p> : <ol>{mine.map(s => (
              <li key={s.stage} title={t('p50', { p50: span(s.p50_ns / 1e6), p99: span(s.p99_ns / 1e6) })}>
                <div className="stage-head"><span><Line text={s.stage} /></span><span className="num muted">{t('in')} {count(s.in)}{pace(s) > 0 && <> · {pace(s) < 10 ? pace(s).toFixed(1) : count(Math.round(pace(s)))}{t('per')}</>}</span></div>
                <Bar stage={s} most={most} />
                <div className="stage-foot num"><span className="is-white">{t('white')} {count(s.white)}</span><span className={s.black ? 'is-black' : 'muted'}>{t('black')} {count(s.black)}</span><span className="muted">{t('grey')} {count(s.passed)}</span>{s.errors > 0 && <span className="is-error">{t('errors')} {count(s.errors)}</span>}</div>
              </li>
            ))}</ol>}
          </section>
        )
      })}</div>
    </Panel>
  )
}

/** Bar is as wide as what came in, on a root scale so that the last stages still show. */
function Bar({ stage: s, most }: { stage: Stage; most: number }) {
  const whole = s.in > 0 ? 100 * Math.sqrt(s.in / most) : 0
  const part = (n: number) => ({ width: `${s.in > 0 ? whole * n / s.in : 0}%` })
  return <div className="stage-bar" aria-hidden="true"><i className="white" style={part(s.white)} /><i className="black" style={part(s.black)} /><i className="grey" style={part(s.passed)} /></div>
}

/** join adds up what stages of one name did in several places; times are the slowest. */
function join(stages: readonly Stage[]): Stage[] {
  const by = new Map<string, Stage>()
  for (const s of stages) {
    const have = by.get(s.stage)
    by.set(s.stage, have ? {
      ...have, in: have.in + s.in, white: have.white + s.white, black: have.black + s.black, passed: have.passed + s.passed, errors: have.errors + s.errors,
      p50_ns: Math.max(have.p50_ns, s.p50_ns), p99_ns: Math.max(have.p99_ns, s.p99_ns),
    } : s)
  }
  return [...by.values()].sort((a, b) => place(a) - place(b))
}

// The order in which an item meets the stages, wherever they run.
const order = ['intercept', 'exposure', 'fingerprint', 'ordinary', 'application', 'known', 'light', 'joint', 'similar', 'sandbox', 'sigma', 'rarity', 'trace', 'risk', 'reputation']
const place = (s: Stage) => { const at = order.indexOf(s.stage); return at < 0 ? order.length : at }

/** usePace reckons items a second from one answer to the next. */
function usePace(stages: readonly Stage[], where: string): (s: Stage) => number {
  const last = useRef<{ at: number; where: string; in: Map<string, number> }>(undefined)
  const [pace, setPace] = useState(new Map<string, number>())
  const key = (s: Stage) => `${s.layer}/${s.stage}`
  useEffect(() => {
    const now = { at: performance.now(), where, in: new Map(join(stages).map(s => [key(s), s.in])) }
    const before = last.current
    if (before && before.where === where && now.at - before.at > 500) {
      setPace(new Map([...now.in].map(([k, n]) => [k, Math.max(0, (n - (before.in.get(k) ?? n)) * 1000 / (now.at - before.at))])))
    }
    if (!before || before.where !== where || now.at - before.at > 500) last.current = now
  }, [stages, where])
  return s => pace.get(key(s)) ?? 0
}
