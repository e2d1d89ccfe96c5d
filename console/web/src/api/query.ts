// SPDX-License-Identifier: Apache-2.0

// What a page shows of the API: asked when it is needed, asked again on demand, and the
// last answer kept in sight while the next one comes.
import { useCallback, useEffect, useRef, useState } from 'react'
import type { paths } from './schema'
import { address, api, Problem, type Answer, type Ask, type PathsOf } from './client'

export interface Asked<T> {
  data: T | undefined
  /** last is the newest answer of all, also of another question: to show until data comes. */
  last: T | undefined
  error: Problem | undefined
  loading: boolean
  reload: () => void
}

interface State<T> { key: string | null; data?: T; dataOf?: string | null; error?: Problem; loading: boolean }

/** asProblem makes whatever was thrown something that can be shown. */
export function asProblem(e: unknown): Problem {
  return e instanceof Problem ? e : new Problem(0, 'fault', e instanceof Error ? e.message : String(e))
}

/** useAsk runs ask when key changes; null asks nothing. */
export function useAsk<T>(key: string | null, ask: (signal: AbortSignal) => Promise<T>): Asked<T> {
  const [state, set] = useState<State<T>>({ key, loading: key !== null })
  const [turn, setTurn] = useState(0)
  const latest = useRef(ask)
  latest.current = ask
  useEffect(() => {
    if (key === null) { set({ key, loading: false }); return }
    const stop = new AbortController()
    set(({ data, dataOf, error, key: was }) => ({ key, data, dataOf, error: was === key ? error : undefined, loading: true }))
    latest.current(stop.signal).then(
      data => { if (!stop.signal.aborted) set({ key, data, dataOf: key, loading: false }) },
      (e: unknown) => { if (!stop.signal.aborted) set(s => ({ ...s, key, error: asProblem(e), loading: false })) },
    )
    return () => stop.abort()
  }, [key, turn])
  const reload = useCallback(() => setTurn(n => n + 1), [])
  const mine = state.key === key
  return { data: state.dataOf === key ? state.data : undefined, last: state.data, error: mine ? state.error : undefined, loading: state.loading || !mine, reload }
}

/** useGet asks a GET operation; null asks nothing. */
export function useGet<P extends PathsOf<'get'> & keyof paths>(path: P | null, ask: Ask<P, 'get'> = {}): Asked<Answer<P, 'get'>> {
  const key = path === null ? null : address(path, ask.path as Record<string, unknown>, ask.query as Record<string, unknown>)
  return useAsk(key, signal => api.get(path as P, { ...ask, signal }))
}

/** useChange runs a change of a person and tells how it went. */
export function useChange<A extends unknown[], T>(change: (...args: A) => Promise<T>): { run: (...args: A) => Promise<T | undefined>; busy: boolean; error: Problem | undefined; clear: () => void } {
  const [state, set] = useState<{ busy: boolean; error?: Problem }>({ busy: false })
  const going = useRef(false)
  const run = async (...args: A) => {
    if (going.current) return undefined // a double click is one click
    going.current = true
    set({ busy: true })
    try {
      const out = await change(...args)
      set({ busy: false })
      return out
    } catch (e) {
      set({ busy: false, error: asProblem(e) })
      return undefined
    } finally {
      going.current = false
    }
  }
  return { run, busy: state.busy, error: state.error, clear: () => set({ busy: false }) }
}
