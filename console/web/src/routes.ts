// SPDX-License-Identifier: Apache-2.0

// Which page stands under which path. Each is loaded when it is asked for; the first that
// matches wins.
import { useEffect, useState, type ComponentType } from 'react'
import { match, type Params } from './router'

export type Page = ComponentType<{ params: Params }>

/** Route is a page and the pattern of its paths; page is there once it was loaded. */
export interface Route { path: string; load: () => Promise<void>; page?: Page }

function page(path: string, load: () => Promise<{ default: Page }>): Route {
  const r: Route = { path, load: async () => { r.page ??= (await load()).default } }
  return r
}

export const routes: readonly Route[] = [
  page('/', () => import('./pages/overview')),
  page('/incidents', () => import('./pages/incidents')),
  page('/incidents/:id', () => import('./pages/incident')),
  page('/account', () => import('./pages/account')),
]

/** routeOf finds the route of a path. */
export function routeOf(path: string): { route: Route; params: Params } | null {
  for (const route of routes) {
    const params = match(route.path, path)
    if (params) return { route, params }
  }
  return null
}

/**
 * usePage loads a route's page. Not by Suspense: that holds what has come back for 300 ms
 * once it showed that it waits.
 */
export function usePage(route: Route | undefined): { page?: Page; failed: boolean } {
  const [failed, setFailed] = useState<Route>()
  const [, came] = useState(0)
  const page = route?.page
  useEffect(() => {
    // It may have come between drawing and this; then the page must be drawn again too.
    if (route && !page) route.load().then(() => came(n => n + 1), () => setFailed(route))
  }, [route, page])
  return { page, failed: route !== undefined && failed === route }
}
