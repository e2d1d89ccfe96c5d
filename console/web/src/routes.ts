// SPDX-License-Identifier: Apache-2.0

// Which page stands under which path. Each is loaded when it is asked for; the first that
// matches wins.
import { lazy, type ComponentType } from 'react'
import type { Params } from './router'

export type Page = ComponentType<{ params: Params }>

interface Route { path: string; page: Page }

const page = (path: string, load: () => Promise<{ default: Page }>): Route => ({ path, page: lazy(load) })

export const routes: readonly Route[] = [
  page('/', () => import('./pages/overview')),
  page('/incidents', () => import('./pages/incidents')),
  page('/incidents/:id', () => import('./pages/incident')),
  page('/account', () => import('./pages/account')),
]
