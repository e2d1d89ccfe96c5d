// SPDX-License-Identifier: Apache-2.0

// One stream of what changes (server-sent events) for the whole console. A follower that
// was cut off misses updates, so "again" tells its listeners to ask anew.
import { useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { api, type Schema } from './client'

export interface News {
  finding: Schema['Finding']
  incident: Schema['Incident']
  action: Schema['Action']
  again: null
}
type Hear = { [K in keyof News]?: (it: News[K]) => void }

const hearers = new Set<{ current: Hear }>()
const watchers = new Set<() => void>()
let source: EventSource | null = null
let live = false
let wait = 1000 // ms before the next try; doubles up to half a minute
let timer: ReturnType<typeof setTimeout> | undefined
let silence: ReturnType<typeof setTimeout> | undefined

function setLive(now: boolean) {
  if (live !== now) { live = now; watchers.forEach(f => f()) }
}

function tell<K extends keyof News>(kind: K, it: News[K]) {
  for (const h of hearers) (h.current[kind] as ((it: News[K]) => void) | undefined)?.(it)
}

// beatMost is three times the server's beat: a stream that is silent longer is dead.
const beatMost = 45_000

function heard() {
  clearTimeout(silence)
  silence = setTimeout(retry, beatMost)
}

function open() {
  const s = new EventSource('/v1/follow')
  source = s
  let was = false
  s.onopen = () => {
    wait = 1000
    setLive(true)
    heard()
    if (was || broke) tell('again', null)
    was = true
    broke = false
  }
  const on = <K extends 'finding' | 'incident' | 'action'>(kind: K) => s.addEventListener(kind, e => {
    heard()
    tell(kind, JSON.parse((e as MessageEvent<string>).data) as News[K])
  })
  on('finding'); on('incident'); on('action')
  s.addEventListener('beat', heard)
  s.onerror = () => retry()
}

let broke = false

function retry() {
  source?.close()
  source = null
  clearTimeout(silence)
  setLive(false)
  broke = true
  if (hearers.size === 0) return
  clearTimeout(timer)
  timer = setTimeout(() => {
    // The browser does not tell why a stream ended; this asks, and shows the log-in when it
    // was that.
    api.get('/v1/me').then(open, () => { if (hearers.size > 0) retry() })
  }, wait)
  wait = Math.min(wait * 2, 30_000)
}

/** useFollow calls back for what changes while the component is there. */
export function useFollow(hear: Hear) {
  const latest = useRef(hear)
  latest.current = hear
  useEffect(() => {
    hearers.add(latest)
    if (!source && hearers.size === 1) { clearTimeout(timer); open() }
    return () => {
      hearers.delete(latest)
      if (hearers.size === 0) {
        source?.close()
        source = null
        clearTimeout(timer)
        clearTimeout(silence)
        broke = false
        setLive(false)
      }
    }
  }, [])
}

/** useLive says whether the stream is open. */
export function useLive(): boolean {
  return useSyncExternalStore(f => { watchers.add(f); return () => { watchers.delete(f) } }, () => live)
}

// What is told may not stand in the ledger yet, and a burst of news is one change: a page
// asks at once, at most every so often, and again when it is quiet. A busy brain writes
// some seconds after it told.
const often = 1000
const quiet = [1000, 3000, 9000]

/** useNews counts up when something of those kinds changed: a page that shows it asks again. of narrows to what the page shows. */
export function useNews(kinds: readonly ('finding' | 'incident' | 'action')[], of: (it: News['finding'] | News['incident'] | News['action']) => boolean = () => true): number {
  const [n, set] = useState(0)
  const last = useRef(0), timers = useRef<ReturnType<typeof setTimeout>[]>([])
  const bump = () => { last.current = Date.now(); set(x => x + 1) }
  const hear = (it: News['finding'] | News['incident'] | News['action']) => {
    if (!of(it)) return
    if (Date.now() - last.current > often) bump()
    timers.current.forEach(clearTimeout)
    timers.current = quiet.map(after => setTimeout(bump, after))
  }
  useEffect(() => {
    // What was told just before this page came may not have stood there yet when it asked.
    timers.current = [setTimeout(() => set(x => x + 1), quiet[1])]
    return () => timers.current.forEach(clearTimeout)
  }, [])
  useFollow({ ...Object.fromEntries(kinds.map(k => [k, hear])), again: bump })
  return n
}

/** useAgain calls reload whenever news of useNews came. */
export function useAgain(news: number, reload: () => void) {
  const latest = useRef(reload)
  latest.current = reload
  useEffect(() => { if (news > 0) latest.current() }, [news])
}
