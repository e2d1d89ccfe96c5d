// SPDX-License-Identifier: Apache-2.0

// The page of one incident: the attack graph from the entry on the left to the effects on
// the right, the story in sentences, when it happened, what it rests on, what was done
// about it and what people say. Whatever one part points at, the others show.
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { useAgain, useNews } from '../api/follow'
import { useGet } from '../api/query'
import { dictionary, useWords } from '../i18n'
import { go, useSearch, setQuery, type Params } from '../router'
import { Page, Panel } from '../ui/page'
import { Loading, Stand, Trouble } from '../ui/state'
import { plainText } from '../ui/visible'
import { Answer } from './incident/answer'
import { Evidence } from './incident/evidence'
import { Export } from './incident/export'
import { Graph } from './incident/graph'
import { Facts, Head } from './incident/head'
import { History } from './incident/history'
import { Indicators } from './incident/indicators'
import { Notes } from './incident/notes'
import { Selected } from './incident/selected'
import { StoryPanel } from './incident/story'
import { Timeline } from './incident/timeline'

const words = dictionary({
  graph: 'Attack graph', incident: 'Incident', cut: '{n} more entities are not drawn; the story and the evidence have all.',
}, {
  graph: '攻击图', incident: '事件', cut: '另有 {n} 个实体未画出；经过和证据中有全部内容。',
})

/** Pointed is what a person points at: a node, from wherever it was pointed at. */
export interface Pointed {
  node: string | null
  hover: string | null
  select: (node: string | null) => void
  point: (node: string | null) => void
}

/** young is how long, in ms after its last change, an incident's graph may still grow by itself. */
const young = 10 * 60_000
const noPicture = { nodes: [], edges: [] }

export default function Incident({ params }: { params: Params }) {
  const t = useWords(words)
  const id = params.id ?? ''
  const incident = useGet('/v1/incidents/{id}', { path: { id } })
  const graph = useGet('/v1/incidents/{id}/graph', { path: { id } })
  const findings = useGet('/v1/findings', { query: { incident: id, order: 'asc', limit: 500, grey: true } })
  const actions = useGet('/v1/actions', { query: { incident: id, order: 'asc', limit: 200 } })
  const trace = useGet('/v1/trace/{id}', { path: { id } })
  const node = useSearch().get('node')
  const [hover, point] = useState<string | null>(null)
  const select = useCallback((n: string | null) => setQuery({ node: n }, { replace: true }), [])
  const pointed: Pointed = { node, hover, select, point }

  const mine = (other: string | undefined) => other === id || other === incident.data?.id || (incident.data?.aliases ?? []).includes(other ?? '')
  useAgain(useNews(['incident'], i => mine(i.id) || 'aliases' in i && (i.aliases ?? []).includes(id)), () => { incident.reload(); graph.reload() })
  useAgain(useNews(['action'], a => 'incident' in a && mine(a.incident)), actions.reload)

  // A young incident is asked for again: news told just before this page came stand in the
  // ledger later, and a graph grows without the judge having anything new to say.
  const changed = incident.data?.updated
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.hidden || !changed || Date.now() - Date.parse(changed) > young) return
      incident.reload()
      graph.reload()
    }, 5000)
    return () => clearInterval(timer)
  }, [incident.reload, graph.reload, changed])
  const before = useRef(changed)
  useEffect(() => {
    if (before.current && changed !== before.current) { findings.reload(); trace.reload(); graph.reload() }
    before.current = changed
  }, [changed])

  const picture = useMemo(() => graph.data ? { nodes: graph.data.nodes ?? [], edges: graph.data.edges ?? [] } : noPicture, [graph.data])
  const list = findings.data?.items ?? []
  const nodeOf = useMemo(() => new Map(picture.nodes.flatMap(n => (n.findings ?? []).map(f => [f, n.id] as const))), [picture])

  const now = incident.data?.id
  useEffect(() => {
    if (now && now !== id) go(`/incidents/${now}`, { replace: true }) // it was merged into another
  }, [now, id])

  if (!incident.data) return <Page title={t('incident')} name={t('incident')}>{incident.error ? <Trouble problem={incident.error} retry={incident.reload} /> : <Loading lines={8} />}</Page>
  const i = incident.data
  return (
    <Page title={<Head incident={i} />} name={plainText(i.title)} actions={<Export id={i.id} />}>
      <Facts incident={i} reload={incident.reload} />
      <div className="incident">
        <Panel title={t('graph')} className="graph-panel flush">
          <Stand of={graph} lines={10}>{p => (
            <>
              {p.cut > 0 && <p className="graph-note">{t('cut', { n: p.cut })}</p>}
              <div className={node ? 'graph-split open' : 'graph-split'}>
                <Graph picture={picture} findings={list} pointed={pointed} />
                {node && <Selected id={node} picture={picture} findings={list} incident={i} onClose={() => select(null)} onSelect={select} onOrdered={actions.reload} />}
              </div>
              <Timeline picture={picture} findings={list} actions={actions.data?.items ?? []} nodeOf={nodeOf} pointed={pointed} />
            </>
          )}</Stand>
        </Panel>
        <div className="incident-columns">
          <div className="stack wide-gap">
            <StoryPanel incident={i} trace={trace} nodeOf={nodeOf} pointed={pointed} />
            <Evidence findings={findings} nodeOf={nodeOf} pointed={pointed} />
          </div>
          <div className="stack wide-gap">
            <Answer incident={i} actions={actions} />
            <Indicators incident={i} />
            <Notes id={i.id} />
            <History id={i.id} />
          </div>
        </div>
      </div>
    </Page>
  )
}
