// SPDX-License-Identifier: Apache-2.0
import type { ReactNode } from 'react'
import type { Schema } from '../../api/client'
import { count, dictionary, useWords } from '../../i18n'
import { Badge, State } from '../../ui/badges'
import { HostLink } from '../../ui/entity'
import { Panel } from '../../ui/page'
import { Empty } from '../../ui/state'
import { Line, Shown } from '../../ui/text'

const words = dictionary({
  title: 'Health', none: 'No agent has spoken yet.', noneHelp: 'On the host: ringwall-agent join, with the token that ringwall enroll prints.',
  well: 'all {n} on', on: '{n} on', degraded: '{n} degraded', off: '{n} off', lost: '{n} events lost', events: 'Events', stored: 'Stored', brain: 'This brain',
}, {
  title: '运行状况', none: '尚无代理上报。', noneHelp: '在主机上：使用 ringwall enroll 打印的令牌执行 ringwall-agent join。',
  well: '全部 {n} 个运行中', on: '{n} 运行', degraded: '{n} 降级', off: '{n} 关闭', lost: '丢失 {n} 个事件', events: '事件', stored: '已存储', brain: '本大脑（brain）',
})

type Part = Schema['Component']

/** Sensors tells what is on, degraded or off, where, and what was lost. */
export function Sensors({ status: s }: { status: Schema['Status'] }) {
  const t = useWords(words)
  const hosts = s.hosts ?? []
  const lost = Object.values(s.lost ?? {}).reduce((n, x) => n + x, 0)
  const counts = s.counts ?? {}
  return (
    <Panel title={t('title')} className="health" actions={<span className="muted small num">{t('events')} {count(counts.events ?? 0)} · {t('stored')} {count(counts['archive.rows'] ?? 0)}</span>}>
      {hosts.length === 0 && <Empty title={t('none')}>{t('noneHelp')}</Empty>}
      <ul className="rows">
        {hosts.map(h => <Host key={h.host} name={<HostLink host={h.host} />} parts={h.components ?? []} lost={Object.values(h.lost ?? {}).reduce((n, x) => n + x, 0)} />)}
        <Host name={<>{t('brain')} <span className="muted small">{s.version}</span></>} parts={(s.components ?? []).filter(c => !c.name.startsWith('sensor.') && !c.name.startsWith('respond'))} lost={lost} />
      </ul>
    </Panel>
  )
}

function Host({ name, parts, lost }: { name: ReactNode; parts: readonly Part[]; lost: number }) {
  const t = useWords(words)
  const ill = parts.filter(c => c.state !== 'on')
  const n = (state: string) => parts.filter(c => c.state === state).length
  return (
    <li className="host-health">
      <div className="row"><span className="grow">{name}</span>
        {parts.length > 0 && (ill.length === 0 ? <Badge tone="good">{t('well', { n: parts.length })}</Badge> : <>
          <Badge tone="good">{t('on', { n: n('on') })}</Badge>
          {n('degraded') > 0 && <Badge tone="medium">{t('degraded', { n: n('degraded') })}</Badge>}
          {n('off') > 0 && <Badge>{t('off', { n: n('off') })}</Badge>}
        </>)}
        {lost > 0 && <Badge tone="high">{t('lost', { n: count(lost) })}</Badge>}
      </div>
      {ill.length > 0 && <ul className="ill">{ill.map(c => <li key={c.name}><State of={c.state} /> <code><Line text={c.name} /></code> <span className="muted"><Shown text={c.reason ?? ''} most={140} /></span></li>)}</ul>}
    </li>
  )
}
