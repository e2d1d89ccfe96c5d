// SPDX-License-Identifier: Apache-2.0

// Words of the console in its languages. Each page has its own dictionary beside it, so a
// route loads only what it shows; a key that one language lacks does not compile.
import { useSyncExternalStore } from 'react'

export type Lang = 'en' | 'zh'
export const langs: Record<Lang, string> = { en: 'English', zh: '中文' }

export type Dictionary<K extends string> = Record<Lang, Record<K, string>>

/** dictionary makes one: every key of English must be there in Chinese, and none besides. */
export function dictionary<K extends string>(en: Record<K, string>, zh: Record<NoInfer<K>, string>): Dictionary<K> {
  return { en, zh }
}

const kept = 'ringwall.lang'
const heard = new Set<() => void>()
let lang: Lang = first()

function first(): Lang {
  const saved = read(kept)
  if (saved === 'en' || saved === 'zh') return saved
  return typeof navigator !== 'undefined' && navigator.language?.toLowerCase().startsWith('zh') ? 'zh' : 'en'
}

/** read gives what this browser keeps under a name; nothing where it keeps nothing. */
export function read(name: string): string | null {
  try { return localStorage.getItem(name) } catch { return null }
}

/** keep lets this browser remember a value; a browser that refuses forgets it. */
export function keep(name: string, value: string) {
  try { localStorage.setItem(name, value) } catch { /* private windows keep nothing */ }
}

export function currentLang(): Lang { return lang }

/** setLang is a person's choice; startLang only tells the page which it is. */
export function setLang(next: Lang) {
  keep(kept, next)
  lang = next
  startLang()
}

export function startLang() {
  document.documentElement.lang = lang === 'zh' ? 'zh-Hans' : 'en'
  heard.forEach(f => f())
}

export function useLang(): Lang {
  return useSyncExternalStore(f => { heard.add(f); return () => heard.delete(f) }, currentLang)
}

export type Values = Record<string, string | number>

/** fill puts values into the {places} of a text; a place without a value stays as it is. */
export function fill(text: string, values?: Values): string {
  return values ? text.replace(/\{(\w+)\}/g, (whole, name: string) => name in values ? String(values[name]) : whole) : text
}

export type Tell<K extends string> = (key: K, values?: Values) => string

/** useWords gives the function that says a key in the language chosen. */
export function useWords<K extends string>(words: Dictionary<K>): Tell<K> {
  const l = useLang()
  return (key, values) => fill(words[l][key], values)
}

/** count writes a number as the language does. */
export function count(n: number): string { return new Intl.NumberFormat(lang === 'zh' ? 'zh-CN' : 'en-US').format(n) }
