// SPDX-License-Identifier: Apache-2.0

// Who sits here and what they may. Without a session the log-in stands in the place of the
// page, whose address stays, so that one goes on where one was.
import { createContext, useCallback, useContext, useEffect, useState, type ReactNode } from 'react'
import { api, onLost, onStale, Problem, setCSRF, type Schema } from './api/client'
import { asProblem } from './api/query'
import { Confirm } from './login/confirm'
import { Loading, Trouble } from './ui/state'

export type Permission = 'read' | 'annotate' | 'respond' | 'administer' | 'raw'

export interface Session {
  me: Schema['Me']
  may: (p: Permission) => boolean
  /** reload asks anew who this is, after a change of the ways in. */
  reload: () => Promise<void>
  logOut: () => Promise<void>
}

const Here = createContext<Session | null>(null)

/** useSession is who sits here; only below Gate. */
export function useSession(): Session {
  const s = useContext(Here)
  if (!s) throw new Error('useSession outside of Gate')
  return s
}

/** May shows its children to those who may do it; others see nothing that acts. */
export function May({ do: p, children }: { do: Permission; children: ReactNode }) {
  return useSession().may(p) ? <>{children}</> : null
}

/** Gate shows door until somebody is logged in, then children. */
export function Gate({ door, children }: { door: (enter: (me: Schema['Me']) => void) => ReactNode; children: ReactNode }) {
  const [me, setMe] = useState<Schema['Me'] | null | undefined>(undefined)
  const [fault, setFault] = useState<Problem>()
  const [proving, setProving] = useState<((done: boolean) => void) | null>(null)

  const enter = useCallback((me: Schema['Me'] | null) => {
    setCSRF(me?.csrf)
    setFault(undefined)
    setMe(me)
  }, [])
  const reload = useCallback(async () => {
    try { enter(await api.get('/v1/me')) } catch (e) {
      if (e instanceof Problem && e.status === 401) enter(null)
      else setFault(asProblem(e))
    }
  }, [enter])
  useEffect(() => {
    onLost(() => enter(null))
    onStale(() => new Promise(done => setProving(() => done)))
    void reload()
  }, [enter, reload])

  if (fault && me === undefined) return <main className="door"><Trouble problem={fault} retry={() => void reload()} /></main>
  if (me === undefined) return <main className="door"><Loading /></main>
  if (me === null) return <>{door(me => { enter(me); void reload() })}</>
  const session: Session = {
    me, reload,
    may: p => (me.permissions ?? []).includes(p),
    logOut: async () => {
      try { await api.post('/v1/logout') } catch { /* the session is gone either way, or the brain is */ }
      enter(null)
    },
  }
  return (
    <Here.Provider value={session}>
      {children}
      {proving && <Confirm me={me} onDone={ok => { proving(ok); setProving(null) }} onLogOut={() => { proving(false); setProving(null); void session.logOut() }} />}
    </Here.Provider>
  )
}
