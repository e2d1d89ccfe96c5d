// SPDX-License-Identifier: Apache-2.0

// Keys that work anywhere on a page but in what one types into. "g i" is g, then i within
// a second.
import { useEffect, useRef } from 'react'

type Bindings = Record<string, () => void>
const bound = new Set<{ current: Bindings }>()
let before = ''
let when = 0

function typing(e: KeyboardEvent): boolean {
  const at = e.target as HTMLElement | null
  return !!at?.closest?.('input, textarea, select, [contenteditable], .cm-editor, dialog') || at?.shadowRoot != null
}

function press(e: KeyboardEvent) {
  if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing || typing(e)) return
  const pair = e.timeStamp - when < 1000 && before ? `${before} ${e.key}` : ''
  before = e.key
  when = e.timeStamp
  for (const name of [pair, e.key]) {
    if (!name) continue
    const hit = [...bound].reverse().find(b => name in b.current)
    if (hit) {
      e.preventDefault()
      if (name === pair) before = ''
      hit.current[name]?.()
      return
    }
  }
}

if (typeof document !== 'undefined') document.addEventListener('keydown', press)

/** useKeys binds keys while the component is there; the one bound last wins. */
export function useKeys(keys: Bindings) {
  const latest = useRef(keys)
  latest.current = keys
  useEffect(() => {
    bound.add(latest)
    return () => { bound.delete(latest) }
  }, [])
}
