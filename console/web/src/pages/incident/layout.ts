// SPDX-License-Identifier: Apache-2.0

// Where each seen node stands: its column is its distance from the entry, its row comes
// from a walk of the tree in which a parent stands beside the middle of its children.
// Linear in what is seen (the idea of Reingold and Tilford 1981, without their contours:
// a row belongs to one leaf, so that labels never touch).
import type { Folded, Seen } from './fold'

export interface Place { x: number; y: number }

export const card = { width: 184, height: 46 }
export const step = { x: 280, y: 60 }

/** layout gives each seen node its place, the top left corner of its card. */
export function layout(f: Folded): Map<string, Place> {
  const out = new Map<string, Place>()
  let row = 0
  const roots = f.order.filter(s => s.parent === null)
  for (const root of roots) {
    // Post-order without recursion: a chain of thousands must not fill the stack.
    const stack: { s: Seen; child: number }[] = [{ s: root, child: 0 }]
    while (stack.length > 0) {
      const top = stack[stack.length - 1] as { s: Seen; child: number }
      const next = top.s.children[top.child]
      if (next !== undefined) {
        top.child++
        stack.push({ s: f.seen.get(next) as Seen, child: 0 })
        continue
      }
      stack.pop()
      const first = out.get(top.s.children[0] ?? ''), last = out.get(top.s.children.at(-1) ?? '')
      const y = first && last ? (first.y + last.y) / 2 : row++ * step.y
      out.set(top.s.id, { x: top.s.layer * step.x, y })
    }
  }
  return out
}

/** extent is what a picture of these places covers. */
export function extent(places: ReadonlyMap<string, Place>): { x: number; y: number; width: number; height: number } {
  let x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity
  for (const p of places.values()) {
    x0 = Math.min(x0, p.x); y0 = Math.min(y0, p.y)
    x1 = Math.max(x1, p.x + card.width); y1 = Math.max(y1, p.y + card.height)
  }
  return places.size ? { x: x0, y: y0, width: x1 - x0, height: y1 - y0 } : { x: 0, y: 0, width: 1, height: 1 }
}
