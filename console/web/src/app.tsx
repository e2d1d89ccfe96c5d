// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef } from 'react'
import { useFollow } from './api/follow'
import { dictionary, useWords } from './i18n'
import { Login } from './login/login'
import { OIDCBack } from './login/oidc'
import { Welcome } from './login/welcome'
import { Link, usePath } from './router'
import { routeOf, usePage } from './routes'
import { Gate, useSession } from './session'
import { Shell } from './shell'
import { Empty, Fence, Loading } from './ui/state'

const words = dictionary({ nothing: 'There is no page under this address.', home: 'To the overview', old: 'This page could not be loaded; the console may have been renewed meanwhile.', again: 'Load the console again', link: 'A one-time link is for whoever has no way in yet; you are logged in as {name}.', logOut: 'Log out and use the link' }, { nothing: '此地址下没有页面。', home: '前往总览', old: '此页面无法载入；控制台可能已更新。', again: '重新载入控制台', link: '一次性链接供尚无登录方式的人使用；您已以 {name} 身份登录。', logOut: '退出登录并使用链接' })

export function App() {
  const path = usePath()
  const pages = <Gate door={enter => path === '/login/oidc' ? <OIDCBack enter={enter} /> : path === '/welcome' ? <Welcome enter={enter} /> : <Login enter={enter} />}><Inside /></Gate>
  return <Fence>{pages}</Fence>
}

function Inside() {
  useFollow({}) // the stream stays open from page to page
  return <Shell><Outlet /></Shell>
}

function Outlet() {
  const t = useWords(words)
  const { me, logOut } = useSession()
  const path = usePath()
  const first = useRef(true)
  useEffect(() => {
    if (first.current) { first.current = false; return }
    // A new page begins at its top, for eyes and for screen readers.
    scrollTo({ top: 0 })
    document.getElementById('content')?.focus({ preventScroll: true })
  }, [path])
  const at = routeOf(path)
  const { page: Page, failed } = usePage(at?.route)
  if (at) {
    if (Page) return <Fence key={at.route.path + JSON.stringify(at.params)}><Page params={at.params} /></Fence>
    // Another build is served by now, and has no piece of this name.
    return failed ? <Empty title={t('old')}><button type="button" className="button" onClick={() => location.reload()}>{t('again')}</button></Empty> : <Loading lines={6} />
  }
  if (path === '/welcome') return <Empty title={t('link', { name: me.name })}><button type="button" className="button" onClick={() => void logOut()}>{t('logOut')}</button></Empty>
  return <Empty title={t('nothing')}><Link to="/">{t('home')}</Link></Empty>
}
