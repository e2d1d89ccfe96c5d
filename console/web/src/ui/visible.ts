// SPDX-License-Identifier: Apache-2.0

// Text of attackers, made harmless to look at: what would not show, or would turn what
// stands around it, is written out as its code point. React escapes markup already.

export interface Piece {
  text: string
  /** mark: text is the code point of a character that cannot be shown as it is. */
  mark?: boolean
}

// Control characters (C0, DEL, C1), the marks of direction (UAX #9), what has no width,
// tags and variation selectors, line separators, halves of surrogate pairs, fillers that
// look like nothing, and the private use area, which fonts draw as they like.
const hidden = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\ud800-\udfff\ue000-\uf8ff\u{e0000}-\u{e0fff}]/u

/** visible cuts text into what shows as it is and what is named instead. */
export function visible(text: string): Piece[] {
  const out: Piece[] = []
  let plain = ''
  for (const c of text) {
    if (!hidden.test(c)) { plain += c; continue }
    if (plain) out.push({ text: plain })
    plain = ''
    out.push({ text: name(c), mark: true })
  }
  if (plain) out.push({ text: plain })
  return out
}

const short: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\0': '\\0', '\u001b': 'ESC' }

function name(c: string): string {
  return short[c] ?? 'U+' + (c.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
}

/** plainText is visible as one string, for titles and labels. */
export function plainText(text: string): string {
  return visible(text).map(p => p.mark ? `⟨${p.text}⟩` : p.text).join('')
}

/** clip cuts text after at most n characters, never within one. */
export function clip(text: string, n: number): { head: string; left: number } {
  if (text.length <= n) return { head: text, left: 0 }
  const all = Array.from(text)
  return all.length <= n ? { head: text, left: 0 } : { head: all.slice(0, n).join(''), left: all.length - n }
}
