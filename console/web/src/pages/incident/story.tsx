// SPDX-License-Identifier: Apache-2.0

// The story for someone who knows nothing else, in the language of the reader: how it came
// in, what was found, what came of it.
import { useState, type ReactNode } from 'react'
import type { Schema } from '../../api/client'
import type { Asked } from '../../api/query'
import { count, dictionary, useWords } from '../../i18n'
import { Technique } from '../../ui/badges'
import { Panel } from '../../ui/page'
import { Shown } from '../../ui/text'
import { Time } from '../../ui/time'
import type { Pointed } from '../incident'

const words = dictionary({
  title: 'Story', came: 'It came in',
  request: 'by the request {what} from {who}', login: 'by the log-in of {what}', other: 'by {what}', unknown: 'Where it came in is not known.',
  found: 'What was found', effects: 'What came of it', guess: 'a guess', tied: 'tied to the entry by {rule}', more: 'Show all {n}', none: 'Nothing more is known.',
  process: 'ran', file: 'wrote', flow: 'connected',
}, {
  title: '经过', came: '入口',
  request: '来自 {who} 的请求 {what}', login: '登录：{what}', other: '{what}', unknown: '入口未知。',
  found: '发现了什么', effects: '造成了什么', guess: '推测', tied: '依据 {rule} 关联到入口', more: '显示全部 {n} 项', none: '没有更多信息。',
  process: '运行', file: '写入', flow: '连接',
})

const first = 30

export function StoryPanel({ incident: i, trace, nodeOf, pointed }: { incident: Schema['Incident']; trace: Asked<Schema['Story']>; nodeOf: ReadonlyMap<string, string>; pointed: Pointed }) {
  const t = useWords(words)
  const [all, setAll] = useState(false)
  const steps = gather(i.story ?? []), effects = trace.data?.effects ?? []
  const hosts = (i.hosts ?? []).length
  return (
    <Panel title={t('title')} className="story">
      <ol className="story-steps">
        <Line at={i.entry?.time} host={hosts > 1 ? i.entry?.host : undefined} tone="entry"><strong>{t('came')}</strong> <Entry incident={i} /></Line>
      </ol>
      {steps.length > 0 && <h3>{t('found')}</h3>}
      <ol className="story-steps">
        {steps.map((s, n) => (
          <Line key={n} at={s.time} host={hosts > 1 ? s.host : undefined} title={s.rule && t('tied', { rule: s.rule })} node={s.finding ? nodeOf.get(s.finding) : undefined} pointed={pointed}>
            <Shown text={s.text} most={180} />{s.times > 1 && <b className="num"> ×{s.times}</b>} {(s.techniques ?? []).map(x => <Technique key={x} id={x} />)}
            {s.guess && <span className="badge tone-medium">{t('guess')}</span>}
          </Line>
        ))}
      </ol>
      {effects.length > 0 && <h3>{t('effects')}</h3>}
      <ol className="story-steps">
        {effects.slice(0, all ? undefined : first).map((e, n) => (
          <Line key={n} at={e.time} host={hosts > 1 ? e.host : undefined} node={e.key} pointed={pointed}>
            {e.kind in words.en ? t(e.kind as 'process' | 'file' | 'flow') : e.kind} <Shown text={e.label} most={160} mono />{e.guess && <> <span className="badge tone-medium">{t('guess')}</span></>}
          </Line>
        ))}
      </ol>
      {effects.length > first && !all && <button type="button" className="text-button" onClick={() => setAll(true)}>{t('more', { n: count(effects.length) })}</button>}
    </Panel>
  )
}

function Entry({ incident: i }: { incident: Schema['Incident'] }) {
  const t = useWords(words)
  const e = i.entry
  if (!e) return <span className="muted">{t('unknown')}</span>
  const r = e.request
  const text = r ? t('request', { what: `${r.method} ${r.uri}`, who: r.flow ? `${r.flow.src_ip}:${r.flow.src_port}` : '?' }) : e.kind === 'login' ? t('login', { what: e.text ?? e.label }) : t('other', { what: e.label })
  return <Shown text={text} most={300} />
}

/** gather makes one line of steps that say the same one after the other. */
function gather(steps: readonly Schema['Step'][]): (Schema['Step'] & { times: number })[] {
  const out: (Schema['Step'] & { times: number })[] = []
  for (const s of steps) {
    const last = out.at(-1)
    if (last && last.text === s.text && last.host === s.host && last.guess === s.guess) last.times++
    else out.push({ ...s, times: 1 })
  }
  return out
}

function Line({ at, host, node, pointed, tone, title, children }: { at: string | undefined; host: string | undefined; node?: string; pointed?: Pointed; tone?: string; title?: string; children: ReactNode }) {
  const lit = node && pointed && (pointed.hover === node || pointed.node === node)
  return (
    <li title={title} className={[tone, lit && 'lit', node && 'leads'].filter(Boolean).join(' ') || undefined} onMouseEnter={() => node && pointed?.point(node)} onMouseLeave={() => pointed?.point(null)} onClick={e => { if (node && pointed && !(e.target as HTMLElement).closest('button, a') && !getSelection()?.toString()) pointed.select(node) }}>
      {node && pointed ? <button type="button" className="text-button story-time" onClick={() => pointed.select(node)}><Time at={at} ms /></button> : <span className="story-time">{at && <Time at={at} ms />}</span>}
      <span className="story-text">{host && <span className="muted"><Shown text={host} most={24} />: </span>}{children}</span>
    </li>
  )
}
