// SPDX-License-Identifier: Apache-2.0
import { currentLang, dictionary, useLang, useWords } from '../i18n'

const words = dictionary({
  never: 'never', now: 'just now', s: '{n} s ago', m: '{n} min ago', h: '{n} h ago', d: '{n} d ago', in: 'in {n}',
}, {
  never: '从未', now: '刚刚', s: '{n} 秒前', m: '{n} 分钟前', h: '{n} 小时前', d: '{n} 天前', in: '{n}后',
})

const two = (n: number) => String(n).padStart(2, '0')

/** stamp writes a time as this browser's clock has it; the day only when it is not today. */
export function stamp(at: Date, now = new Date(), ms = false): string {
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}` + (ms ? '.' + String(at.getMilliseconds()).padStart(3, '0') : '')
  if (at.toDateString() === now.toDateString()) return time
  const day = `${two(at.getMonth() + 1)}-${two(at.getDate())}`
  return (at.getFullYear() === now.getFullYear() ? day : `${at.getFullYear()}-${day}`) + ' ' + time
}

/** none: the API leaves out a time that never was, or sends the year 1. */
export function none(at: string | undefined | null): boolean { return !at || at.startsWith('0001-') }

/** Time is a moment: the local clock in sight, UTC and the distance in its title. */
export function Time({ at, ms }: { at: string | undefined | null; ms?: boolean }) {
  const t = useWords(words)
  if (none(at)) return <span className="muted">{t('never')}</span>
  const d = new Date(at as string)
  return <time dateTime={at as string} title={`${at as string} · ${ago(d, t)}`} className="num">{stamp(d, new Date(), ms)}</time>
}

function ago(d: Date, t: (k: 's' | 'm' | 'h' | 'd' | 'now', v?: Record<string, number>) => string): string {
  const s = Math.round((Date.now() - d.getTime()) / 1000)
  if (s < 5) return t('now')
  if (s < 120) return t('s', { n: s })
  if (s < 7200) return t('m', { n: Math.round(s / 60) })
  if (s < 172_800) return t('h', { n: Math.round(s / 3600) })
  return t('d', { n: Math.round(s / 86_400) })
}

/** Ago is how long a moment is past, the moment itself in its title. */
export function Ago({ at }: { at: string | undefined | null }) {
  const t = useWords(words)
  useLang()
  if (none(at)) return <span className="muted">{t('never')}</span>
  return <time dateTime={at as string} title={at as string} className="num">{ago(new Date(at as string), t)}</time>
}

/** span writes a length of time. */
export function span(ms: number): string {
  const zh = currentLang() === 'zh'
  if (ms < 1) return `${Math.round(ms * 1000)} µs`
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  const s = ms / 1000
  if (s < 120) return zh ? `${Math.round(s)} 秒` : `${Math.round(s)} s`
  if (s < 7200) return zh ? `${Math.round(s / 60)} 分钟` : `${Math.round(s / 60)} min`
  if (s < 172_800) return zh ? `${Math.round(s / 3600)} 小时` : `${Math.round(s / 3600)} h`
  return zh ? `${Math.round(s / 86_400)} 天` : `${Math.round(s / 86_400)} d`
}
