// SPDX-License-Identifier: Apache-2.0
import { useEffect, useState, type ReactNode } from 'react'
import { useLive } from './api/follow'
import { dictionary, useWords } from './i18n'
import { useKeys } from './keys'
import { nav, navWords, type NavEntry } from './nav'
import { go, Link, match, usePath } from './router'
import { routes } from './routes'
import { useSession } from './session'
import { Choosers, Mark } from './ui/choosers'
import { Dialog } from './ui/dialog'
import { Icon } from './ui/icons'
import { Line } from './ui/text'

const words = dictionary({
  skip: 'Skip to the content', menu: 'Menu', close: 'Close the menu', main: 'Main', live: 'live', notLive: 'not live: what you see may be old',
  logOut: 'Log out', keys: 'Keys', then: 'then', goTo: 'Go to {where}', focus: 'To the filters', walk: 'Up and down a list', open: 'Open', help: 'These keys', leave: 'Close, or leave a field',
}, {
  skip: '跳到内容', menu: '菜单', close: '关闭菜单', main: '主导航', live: '实时', notLive: '未连接：显示内容可能已过时',
  logOut: '退出登录', keys: '快捷键', then: '然后', goTo: '前往{where}', focus: '到筛选栏', walk: '在列表中上下移动', open: '打开', help: '显示快捷键', leave: '关闭，或离开输入框',
})

const there = (e: NavEntry) => routes.some(r => match(r.path, e.path))

/** Shell is the frame of every page: navigation, the person, the keys. */
export function Shell({ children }: { children: ReactNode }) {
  const t = useWords(words)
  const [menu, setMenu] = useState(false)
  const [keys, setKeys] = useState(false)
  const path = usePath()
  useEffect(() => setMenu(false), [path])
  const entries = nav.filter(there)
  useKeys({
    '?': () => setKeys(true),
    Escape: () => setMenu(false),
    ...Object.fromEntries(entries.map(e => [`g ${e.key}`, () => go(e.path)])),
  })
  return (
    <div className="shell">
      <a className="skip" href="#content" onClick={e => { e.preventDefault(); document.getElementById('content')?.focus() }}>{t('skip')}</a>
      <header className="topbar">
        <button type="button" className="icon-button" aria-expanded={menu} aria-controls="side" onClick={() => setMenu(m => !m)} aria-label={menu ? t('close') : t('menu')}><Icon name={menu ? 'close' : 'menu'} /></button>
        <Link to="/" className="brand"><Mark /> Ringwall</Link>
        <Live />
      </header>
      {menu && <div className="veil" onClick={() => setMenu(false)} />}
      <aside id="side" className={menu ? 'side open' : 'side'}>
        <div className="side-head"><Link to="/" className="brand"><Mark /> Ringwall</Link><Live /></div>
        <Navigation entries={entries} path={path} />
        <Foot onKeys={() => setKeys(true)} />
      </aside>
      <main id="content" className="content" tabIndex={-1}>{children}</main>
      {keys && <Keys entries={entries} onClose={() => setKeys(false)} />}
    </div>
  )
}

function Live() {
  const t = useWords(words)
  const live = useLive()
  return <span className={live ? 'live on' : 'live'} role="status" title={live ? t('live') : t('notLive')}><span className="dot" aria-hidden="true" /><span className={live ? 'sr-only' : 'live-text'}>{live ? t('live') : t('notLive')}</span></span>
}

function Navigation({ entries, path }: { entries: readonly NavEntry[]; path: string }) {
  const t = useWords(words)
  const n = useWords(navWords)
  const here = (e: NavEntry) => e.path === '/' ? path === '/' : path === e.path || path.startsWith(e.path + '/')
  return (
    <nav className="nav" aria-label={t('main')}>
      <ul>{entries.map((e, i) => (
        <li key={e.path}>
          {e.group && e.group !== entries[i - 1]?.group && <p className="nav-group">{n(e.group)}</p>}
          <Link to={e.path} aria-current={here(e) ? 'page' : undefined} title={`g ${e.key}`}><Icon name={e.icon} /> {n(e.word)}</Link>
        </li>
      ))}</ul>
    </nav>
  )
}

function Foot({ onKeys }: { onKeys: () => void }) {
  const t = useWords(words)
  const n = useWords(navWords)
  const { me, logOut } = useSession()
  return (
    <div className="side-foot">
      <Link to="/account" className="who" title={n('account')}><Icon name="user" /> <span><Line text={me.name} /><small>{me.role}</small></span></Link>
      <div className="row">
        <Choosers />
      </div>
      <div className="row">
        <button type="button" className="button quiet" onClick={onKeys}>{t('keys')} <kbd>?</kbd></button>
        <button type="button" className="button quiet" onClick={() => void logOut()}><Icon name="out" /> {t('logOut')}</button>
      </div>
    </div>
  )
}

function Keys({ entries, onClose }: { entries: readonly NavEntry[]; onClose: () => void }) {
  const t = useWords(words)
  const n = useWords(navWords)
  return (
    <Dialog title={t('keys')} onClose={onClose}>
      <dl className="keys">
        {entries.map(e => <div key={e.path}><dt><kbd>g</kbd> {t('then')} <kbd>{e.key}</kbd></dt><dd>{t('goTo', { where: n(e.word) })}</dd></div>)}
        <div><dt><kbd>/</kbd></dt><dd>{t('focus')}</dd></div>
        <div><dt><kbd>j</kbd> <kbd>k</kbd></dt><dd>{t('walk')}</dd></div>
        <div><dt><kbd>Enter</kbd></dt><dd>{t('open')}</dd></div>
        <div><dt><kbd>Esc</kbd></dt><dd>{t('leave')}</dd></div>
        <div><dt><kbd>?</kbd></dt><dd>{t('help')}</dd></div>
      </dl>
    </Dialog>
  )
}
