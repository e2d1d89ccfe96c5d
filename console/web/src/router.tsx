// SPDX-License-Identifier: Apache-2.0

// The address bar is the state of a page: path and query. Links are real links, so they
// open in tabs and are read out as links.
import { useEffect, useSyncExternalStore, type AnchorHTMLAttributes, type MouseEvent } from 'react'

const heard = new Set<() => void>()
let guard: (() => boolean) | null = null

export type Params = Record<string, string>

function tell() { heard.forEach(f => f()) }
if (typeof window !== 'undefined') window.addEventListener('popstate', tell)

function subscribe(f: () => void) { heard.add(f); return () => { heard.delete(f) } }

/** go moves to a path with its query; replace keeps the way back as it was. */
export function go(to: string, opt: { replace?: boolean; state?: unknown } = {}) {
  if (guard && !guard()) return
  if (opt.replace) history.replaceState(opt.state ?? null, '', to)
  else history.pushState(opt.state ?? null, '', to)
  tell()
}

/** holdBack asks before a page is left, while it holds what would be lost. */
export function useHoldBack(ask: (() => boolean) | null) {
  useEffect(() => {
    guard = ask
    return () => { guard = null }
  }, [ask])
}

export function usePath(): string { return useSyncExternalStore(subscribe, () => location.pathname) }
export function useSearch(): URLSearchParams { return new URLSearchParams(useSyncExternalStore(subscribe, () => location.search)) }

/** setQuery changes some of the query and leaves the rest; an empty value takes its name away. */
export function setQuery(change: Record<string, string | null>, opt: { replace?: boolean; state?: unknown } = {}) {
  const q = new URLSearchParams(location.search)
  for (const [name, value] of Object.entries(change)) {
    if (value === null || value === '') q.delete(name)
    else q.set(name, value)
  }
  const text = q.toString()
  go(location.pathname + (text ? '?' + text : ''), opt)
}

/** match compares a path with a pattern such as /incidents/:id. */
export function match(pattern: string, path: string): Params | null {
  const want = pattern.split('/'), have = path.replace(/\/+$/, '').split('/')
  if (pattern === '/') return have.length <= 1 ? {} : null
  if (want.length !== have.length) return null
  const out: Params = {}
  for (const [i, w] of want.entries()) {
    const h = have[i] ?? ''
    if (w.startsWith(':')) {
      try { out[w.slice(1)] = decodeURIComponent(h) } catch { return null }
    } else if (w !== h) return null
  }
  return out
}

/** Link is a link within the console. */
export function Link({ to, onClick, ...rest }: { to: string } & AnchorHTMLAttributes<HTMLAnchorElement>) {
  const click = (e: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(e)
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return
    e.preventDefault()
    go(to)
  }
  return <a href={to} onClick={click} {...rest} />
}
