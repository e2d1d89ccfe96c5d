// SPDX-License-Identifier: Apache-2.0

// What was done about it: each action with the policy that ordered it, whether sensors saw
// it take hold, when it ends, and its undoing.
import { useState } from 'react'
import { api, type Schema } from '../../api/client'
import { useChange, type Asked } from '../../api/query'
import { dictionary, useWords } from '../../i18n'
import { May } from '../../session'
import { Badge, State } from '../../ui/badges'
import { HostLink } from '../../ui/entity'
import { Panel } from '../../ui/page'
import { Empty, Stand, Trouble } from '../../ui/state'
import { Line, Shown } from '../../ui/text'
import { Ago, Time } from '../../ui/time'

const words = dictionary({
  title: 'Answer', none: 'Nothing was done.', noneHelp: 'The policy observes, or ordered nothing for this. It is set under brain.policy.',
  undo: 'Undo', asked: 'asked; the host will report', until: 'ends by itself', by: 'by policy', because: 'because', live: 'holds', sees: 'sensors see it hold',
}, {
  title: '处置', none: '尚未采取行动。', noneHelp: '策略处于观察阶段，或未对此下令。策略在 brain.policy 中设置。',
  undo: '撤销', asked: '已请求；主机将上报结果', until: '自动结束于', by: '依据策略', because: '原因', live: '生效中', sees: '传感器确认生效',
})

export const kindWords = dictionary({
  block_address: 'block address', cut_connection: 'cut connection', kill_tree: 'kill process tree', quarantine_file: 'quarantine file', isolate_host: 'isolate host',
}, {
  block_address: '封锁地址', cut_connection: '切断连接', kill_tree: '终止进程树', quarantine_file: '隔离文件', isolate_host: '隔离主机',
})

/** useActionWord names a kind of action. */
export function useActionWord(): (kind: string) => string {
  const t = useWords(kindWords)
  return kind => kind in kindWords.en ? t(kind as keyof typeof kindWords.en) : kind.replaceAll(/[_-]/g, ' ')
}

export function Answer({ actions }: { incident: Schema['Incident']; actions: Asked<{ items: Schema['Action'][] | null }> }) {
  const t = useWords(words)
  return (
    <Panel title={t('title')}>
      <Stand of={actions}>{p => (p.items ?? []).length === 0 ? <Empty title={t('none')}>{t('noneHelp')}</Empty> : (
        <ul className="rows actions">{(p.items ?? []).map(a => <Done key={a.id} action={a} />)}</ul>
      )}</Stand>
    </Panel>
  )
}

function Done({ action: a }: { action: Schema['Action'] }) {
  const t = useWords(words)
  const kind = useActionWord()
  const [asked, setAsked] = useState(false)
  const undo = useChange(() => api.post('/v1/actions/{id}/undo', { path: { id: a.id } }))
  return (
    <li className="action">
      <div className="row"><strong>{kind(a.kind)}</strong> <span className="grow"><Line text={a.target} mono /></span> <State of={a.state} /></div>
      <div className="small muted"><Ago at={a.ordered} /> · <HostLink host={a.host} />{a.policy && <> · {t('by')} <Line text={a.policy} /></>} · <State of={a.stage} />{a.verified && <> · <Badge tone="good">{t('sees')}</Badge></>}</div>
      <div className="small">{t('because')} <Shown text={a.reason} most={160} />{a.result && <> — <Shown text={a.result} most={160} /></>}</div>
      {a.live && <div className="row small"><span className="muted">{t('until')} <Time at={a.deadline} /></span>
        <May do="respond">{asked ? <span className="muted">{t('asked')}</span> : <button type="button" className="button" disabled={undo.busy} onClick={() => void undo.run().then(r => r && setAsked(true))}>{t('undo')}</button>}</May></div>}
      {undo.error && <Trouble problem={undo.error} />}
    </li>
  )
}
