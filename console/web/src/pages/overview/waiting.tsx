// SPDX-License-Identifier: Apache-2.0
import type { Schema } from '../../api/client'
import type { Asked } from '../../api/query'
import { count, dictionary, useWords } from '../../i18n'
import { Link } from '../../router'
import { SeverityBadge, useStateWords, type Severity } from '../../ui/badges'
import { EntityLine, Hosts } from '../../ui/entity'
import { Panel } from '../../ui/page'
import { Empty, Stand } from '../../ui/state'
import { Line } from '../../ui/text'
import { Ago } from '../../ui/time'

const words = dictionary({
  title: 'Waiting for you', all: 'All incidents', none: 'Nothing waits for you.', noneHelp: 'New incidents appear here by themselves.',
  working: '{n} in work', from: 'from',
}, {
  title: '待您处理', all: '全部事件', none: '没有待处理的事件。', noneHelp: '新事件会自动出现在这里。',
  working: '{n} 个处理中', from: '来自',
})

const severities: readonly Severity[] = ['critical', 'high', 'medium', 'low']
const from: Record<Severity, string> = { critical: '0.95', high: '0.8', medium: '0.5', low: '' }

/** Waiting is what needs a person: how much of it, and the worst first. */
export function Waiting({ waiting, top }: { waiting: readonly Schema['Waiting'][]; top: Asked<{ items: Schema['Incident'][] | null }> }) {
  const t = useWords(words)
  const word = useStateWords()
  const sum = (f: (w: Schema['Waiting']) => boolean) => waiting.filter(f).reduce((n, w) => n + w.count, 0)
  const working = sum(w => w.status === 'working')
  return (
    <Panel title={t('title')} className="waiting" actions={<Link to="/incidents">{t('all')}</Link>}>
      <ul className="tally">
        {severities.map(s => (
          <li key={s}>
            <Link to={`/incidents?status=new&sort=score${from[s] && `&score=${from[s]}`}`} className={`tally-${sum(w => w.severity === s && w.status === 'new') ? s : 'zero'}`}>
              <strong className="num">{count(sum(w => w.severity === s && w.status === 'new'))}</strong> {word(s)}
            </Link>
          </li>
        ))}
        {working > 0 && <li className="tally-working"><Link to="/incidents?status=working">{t('working', { n: working })}</Link></li>}
      </ul>
      <Stand of={top}>{p => (p.items ?? []).length === 0 ? <Empty title={t('none')}>{t('noneHelp')}</Empty> : (
        <ul className="rows queue">{(p.items ?? []).map(i => (
          <li key={i.id}>
            <SeverityBadge of={i} />
            <div className="grow"><Link to={`/incidents/${i.id}`}><Line text={i.title} /></Link>
              {i.entry && <div className="muted small"><EntityLine entity={i.entry} /></div>}</div>
            <Hosts hosts={i.hosts} /><span className="muted small"><Ago at={i.updated} /></span>
          </li>
        ))}</ul>
      )}</Stand>
    </Panel>
  )
}
