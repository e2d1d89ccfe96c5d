// SPDX-License-Identifier: Apache-2.0
import { useEffect, useState } from 'react'
import { useAgain, useNews } from '../api/follow'
import { useGet } from '../api/query'
import { dictionary, useWords } from '../i18n'
import { Page } from '../ui/page'
import { Stand } from '../ui/state'
import { Activity } from './overview/activity'
import { Funnels } from './overview/funnels'
import { Sensors } from './overview/sensors'
import { Waiting } from './overview/waiting'

const words = dictionary({ overview: 'Overview' }, { overview: '总览' })

/** Every how many ms counters are asked for while the page is looked at. */
const beat = 5000

export default function Overview() {
  const t = useWords(words)
  const [hours, setHours] = useState(24)
  const overview = useGet('/v1/overview', { query: { hours, steps: 48 } })
  const top = useGet('/v1/incidents', { query: { limit: 6, sort: 'score', status: 'new' } })
  const funnels = useGet('/v1/funnels')
  const status = useGet('/v1/status')
  useAgain(useNews(['incident', 'finding']), () => { overview.reload(); top.reload() })
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.hidden) return
      funnels.reload()
      status.reload()
    }, beat)
    return () => clearInterval(timer)
  })
  return (
    <Page title={t('overview')} name={t('overview')}>
      <div className="overview">
        <Stand of={overview}>{o => <Waiting waiting={o.waiting ?? []} top={top} />}</Stand>
        <Stand of={overview}>{o => <Activity of={o} hours={hours} onHours={setHours} />}</Stand>
        <Stand of={funnels}>{f => <Funnels all={f ?? []} />}</Stand>
        <Stand of={status}>{s => <Sensors status={s} />}</Stand>
      </div>
    </Page>
  )
}
