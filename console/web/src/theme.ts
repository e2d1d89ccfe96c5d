// SPDX-License-Identifier: Apache-2.0

// Light or dark: the system's choice until a person makes one, which this browser keeps.
import { useSyncExternalStore } from 'react'
import { keep, read } from './i18n'

export type Theme = 'system' | 'light' | 'dark'
const kept = 'ringwall.theme'
const heard = new Set<() => void>()
let theme: Theme = 'system'

export function startTheme() {
  const saved = read(kept)
  show(saved === 'light' || saved === 'dark' ? saved : 'system')
}

export function setTheme(next: Theme) {
  keep(kept, next)
  show(next)
}

function show(next: Theme) {
  theme = next
  if (next === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = next
  heard.forEach(f => f())
}

export function useTheme(): Theme {
  return useSyncExternalStore(f => { heard.add(f); return () => heard.delete(f) }, () => theme)
}
