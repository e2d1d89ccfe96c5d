// SPDX-License-Identifier: Apache-2.0
import { useNews } from '../api/follow'
import { count, dictionary, useWords } from '../i18n'
import { Link } from '../router'
import { SeverityBadge, State, Technique, useStateWords } from '../ui/badges'
import { EntityLine, Hosts } from '../ui/entity'
import { List } from '../ui/list'
import { Page } from '../ui/page'
import { Empty } from '../ui/state'
import { Line } from '../ui/text'
import { Time } from '../ui/time'

const words = dictionary({
  incidents: 'Incidents', severity: 'Severity', title: 'Intrusion', entry: 'Entry', unknown: 'unknown', hosts: 'Hosts', findings: 'Findings', state: 'State', status: 'Status',
  assignee: 'Assigned to', opened: 'Opened', updated: 'Changed', search: 'Title or id', host: 'Host', since: 'Changed since', atLeast: 'Severity at least',
  critical: 'critical', high: 'high', medium: 'medium', nobody: 'nobody',
  none: 'No intrusion has been seen.', noneHelp: 'That is good news if the sensors are on: look at the overview. To see one, run make demo or make range.',
}, {
  incidents: '事件', severity: '严重程度', title: '入侵', entry: '入口', unknown: '未知', hosts: '主机', findings: '发现', state: '状态', status: '处理',
  assignee: '负责人', opened: '开始', updated: '变更', search: '标题或编号', host: '主机', since: '变更时间不早于', atLeast: '严重程度至少',
  critical: '严重', high: '高', medium: '中', nobody: '无人',
  none: '尚未发现入侵。', noneHelp: '如果传感器都在运行，这是好消息：请查看总览。若要体验，可运行 make demo 或 make range。',
})

export default function Incidents() {
  const t = useWords(words)
  const state = useStateWords()
  const news = useNews(['incident'])
  const options = (all: string[]) => all.map(value => ({ value, label: state(value) }))
  return (
    <Page title={t('incidents')} name={t('incidents')}>
      <List path="/v1/incidents" label={t('incidents')} defaultSort="updated" stale={news}
        filters={[
          { name: 'q', label: t('search'), kind: 'text' },
          { name: 'score', label: t('atLeast'), kind: 'choice', options: [{ value: '0.95', label: t('critical') }, { value: '0.8', label: t('high') }, { value: '0.5', label: t('medium') }] },
          { name: 'state', label: t('state'), kind: 'choice', options: options(['open', 'contained', 'closed']) },
          { name: 'status', label: t('status'), kind: 'choice', options: options(['new', 'working', 'solved', 'ordinary']) },
          { name: 'host', label: t('host'), kind: 'text' },
          { name: 'assignee', label: t('assignee'), kind: 'text' },
          { name: 'since', label: t('since'), kind: 'time' },
        ]}
        columns={[
          { name: 'severity', head: t('severity'), sort: 'score', kind: 'narrow', cell: i => <SeverityBadge of={i} /> },
          { name: 'title', head: t('title'), kind: 'grow', cell: i => <div className="stack tight"><Link to={`/incidents/${i.id}`}><Line text={i.title} /></Link><span>{(i.techniques ?? []).slice(0, 5).map(x => <Technique key={x} id={x} />)}{(i.techniques ?? []).length > 5 && <span className="muted">+{(i.techniques ?? []).length - 5}</span>}</span></div> },
          { name: 'entry', head: t('entry'), kind: 'grow', cell: i => i.entry ? <EntityLine entity={i.entry} /> : <span className="muted">{t('unknown')}</span> },
          { name: 'hosts', head: t('hosts'), cell: i => <Hosts hosts={i.hosts} /> },
          { name: 'findings', head: t('findings'), kind: 'num', cell: i => count((i.findings ?? []).length) },
          { name: 'state', head: t('state'), kind: 'narrow', cell: i => <State of={i.state} /> },
          { name: 'status', head: t('status'), kind: 'narrow', cell: i => <State of={i.status} /> },
          { name: 'assignee', head: t('assignee'), kind: 'narrow', cell: i => i.assignee ? <Line text={i.assignee} /> : <span className="muted">{t('nobody')}</span> },
          { name: 'opened', head: t('opened'), sort: 'opened', kind: 'narrow', cell: i => <Time at={i.opened} /> },
          { name: 'updated', head: t('updated'), sort: 'updated', kind: 'narrow', cell: i => <Time at={i.updated} /> },
        ]}
        keyOf={i => i.id} to={i => `/incidents/${i.id}`}
        empty={<Empty title={t('none')}>{t('noneHelp')}</Empty>} />
    </Page>
  )
}
