// SPDX-License-Identifier: Apache-2.0
import { useState } from 'react'
import { useGet } from '../../api/query'
import { dictionary, useWords } from '../../i18n'
import { Panel } from '../../ui/page'
import { Stand } from '../../ui/state'
import { Shown } from '../../ui/text'
import { Time } from '../../ui/time'

const words = dictionary({ title: 'How it came to be seen so', show: 'Show', hide: 'Hide', line: '{n} findings, score {score}' }, { title: '判定历史', show: '显示', hide: '收起', line: '{n} 个发现，评分 {score}' })

export function History({ id }: { id: string }) {
  const t = useWords(words)
  const [open, setOpen] = useState(false)
  const list = useGet(open ? '/v1/incidents/{id}/history' : null, { path: { id } })
  return (
    <Panel title={t('title')} actions={<button type="button" className="button quiet" aria-expanded={open} onClick={() => setOpen(o => !o)}>{open ? t('hide') : t('show')}</button>} className={open ? '' : 'shut'}>
      {open && <Stand of={list}>{all => <ol className="rows">{(all ?? []).toReversed().map(c => (
        <li key={c.version}><span className="muted small"><Time at={c.time} /></span><span className="grow"><Shown text={c.why} most={160} /></span><span className="small num">{t('line', { n: c.findings, score: c.score.toFixed(2) })}</span></li>
      ))}</ol>}</Stand>}
    </Panel>
  )
}
