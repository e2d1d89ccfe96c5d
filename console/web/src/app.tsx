// SPDX-License-Identifier: Apache-2.0
import { Suspense, useEffect, useRef } from 'react'
import { useFollow } from './api/follow'
import { dictionary, useWords } from './i18n'
import { Login } from './login/login'
import { OIDCBack } from './login/oidc'
import { Welcome } from './login/welcome'
import { Link, match, usePath } from './router'
import { routes } from './routes'
import { Gate } from './session'
import { Shell } from './shell'
import { Empty, Fence, Loading } from './ui/state'

const words = dictionary({ nothing: 'There is no page under this address.', home: 'To the overview' }, { nothing: '此地址下没有页面。', home: '前往总览' })

export function App() {
  const path = usePath()
  // One-time links count even for whoever is logged in: they may be for somebody else.
  const pages = <Gate door={enter => path === '/login/oidc' ? <OIDCBack enter={enter} /> : path === '/welcome' ? <Welcome enter={enter} /> : <Login enter={enter} />}><Inside /></Gate>
  return <Fence>{pages}</Fence>
}

function Inside() {
  useFollow({}) // the stream stays open from page to page
  return <Shell><Outlet /></Shell>
}

function Outlet() {
  const t = useWords(words)
  const path = usePath()
  const first = useRef(true)
  useEffect(() => {
    if (first.current) { first.current = false; return }
    // A new page begins at its top, for eyes and for screen readers.
    scrollTo({ top: 0 })
    document.getElementById('content')?.focus({ preventScroll: true })
  }, [path])
  for (const r of routes) {
    const params = match(r.path, path)
    if (params) return <Fence key={r.path + JSON.stringify(params)}><Suspense fallback={<Loading lines={6} />}><r.page params={params} /></Suspense></Fence>
  }
  return <Empty title={t('nothing')}><Link to="/">{t('home')}</Link></Empty>
}
