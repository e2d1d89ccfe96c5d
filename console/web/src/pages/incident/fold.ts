// SPDX-License-Identifier: Apache-2.0

// What of an attack graph is drawn. The graph may have thousands of nodes; a person reads
// some dozens. So a tree is laid through it from the entry, by who was reached first; in
// sight stay the entry, what findings speak of, and the way there. The rest is folded:
// alike siblings into one "+37 files", a subtree into the node above it. All of it is
// linear in nodes and edges but for sorting siblings.
import type { Schema } from '../../api/client'

export type Node = Schema['PictureNode']
export type Edge = Schema['PictureEdge']

export interface Picture { nodes: Node[]; edges: Edge[] }

/** Seen is a node as it is drawn, or a fold of alike siblings. */
export interface Seen {
  id: string
  /** node is missing for a fold. */
  node?: Node
  /** fold: how many siblings, and of which kind. */
  fold?: { count: number; kind: string; deed: string; guess: boolean; findings: number }
  parent: string | null
  children: string[]
  /** hidden counts the nodes folded away below a node. */
  hidden: number
  /** opened: what is below could be folded away again. */
  opened: boolean
  layer: number
}

/** Link is what is drawn between two seen ones: all deeds between them in one line. */
export interface Link {
  id: string
  from: string
  to: string
  deeds: string[]
  count: number
  guess: boolean
  rules: string[]
  event?: string
  first: string
  /** tree: it leads from the node before; else it crosses. */
  tree: boolean
}

export interface Folded {
  seen: Map<string, Seen>
  order: Seen[]
  links: Link[]
  /** of: which seen one stands for a node that is folded away. */
  of: (id: string) => string | undefined
}

/** alike siblings from this many on are folded. */
export const foldFrom = 3
/** that many of an opened fold are shown at a time; the rest stays folded. */
export const foldStep = 40

interface Tree {
  parent: Map<string, string | null>
  via: Map<string, Edge>
  children: Map<string, string[]>
  layer: Map<string, number>
  roots: string[]
  keep: Set<string>
  below: Map<string, number>
}

/** grow lays the tree: breadth first from the entry, then from the earliest of what it did not reach. */
export function grow(p: Picture): Tree {
  const nodes = new Map(p.nodes.map(n => [n.id, n]))
  const out = new Map<string, Edge[]>(), causes = new Map<string, number>()
  for (const e of p.edges) {
    if (!nodes.has(e.from) || !nodes.has(e.to) || e.from === e.to) continue
    const list = out.get(e.from)
    if (list) list.push(e)
    else out.set(e.from, [e])
    causes.set(e.to, (causes.get(e.to) ?? 0) + 1)
  }
  const t: Tree = { parent: new Map(), via: new Map(), children: new Map(), layer: new Map(), roots: [], keep: new Set(), below: new Map() }
  const order: string[] = []
  const walk = (root: string) => {
    if (t.parent.has(root)) return
    t.roots.push(root)
    t.parent.set(root, null)
    t.layer.set(root, 0)
    const queue = [root]
    for (let i = 0; i < queue.length; i++) {
      const at = queue[i] as string
      order.push(at)
      for (const e of out.get(at) ?? []) {
        if (t.parent.has(e.to)) continue
        t.parent.set(e.to, at)
        t.via.set(e.to, e)
        t.layer.set(e.to, (t.layer.get(at) ?? 0) + 1)
        const list = t.children.get(at)
        if (list) list.push(e.to)
        else t.children.set(at, [e.to])
        queue.push(e.to)
      }
    }
  }
  const entry = p.nodes.find(n => n.entry)
  if (entry) walk(entry.id)
  // The rest: first what nothing led to, then what only a circle leads to. Nodes come in
  // the order of their first sight.
  for (const n of p.nodes) if (!causes.get(n.id)) walk(n.id)
  for (const n of p.nodes) walk(n.id)

  for (const id of order) {
    const n = nodes.get(id) as Node
    if (!n.entry && (n.findings ?? []).length === 0) continue
    for (let at: string | null = id; at !== null && !t.keep.has(at); at = t.parent.get(at) ?? null) t.keep.add(at)
  }
  if (t.keep.size === 0 && t.roots[0] !== undefined) t.keep.add(t.roots[0])
  for (const id of order.reverse()) {
    t.below.set(id, (t.children.get(id) ?? []).reduce((n, c) => n + 1 + (t.below.get(c) ?? 0), 0))
  }
  return t
}

/** foldID names a fold: its parent, and what its siblings are alike in. */
export const foldID = (parent: string | null, kind: string, deed: string) => `fold ${parent ?? ''} ${kind} ${deed}`

/** fold chooses what is seen. opened holds ids of nodes whose subtree, and of folds whose siblings, are shown, with how many. */
export function fold(p: Picture, opened: ReadonlyMap<string, number>): Folded {
  const t = grow(p)
  const nodes = new Map(p.nodes.map(n => [n.id, n]))
  const seen = new Map<string, Seen>(), order: Seen[] = [], stands = new Map<string, string>()

  const hide = (id: string, by: string) => {
    const stack = [id]
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      stands.set(at, by)
      stack.push(...t.children.get(at) ?? [])
    }
  }
  const add = (s: Seen) => {
    seen.set(s.id, s)
    order.push(s)
    const parent = s.parent === null ? undefined : seen.get(s.parent)
    parent?.children.push(s.id)
  }
  /** place shows the children of a seen node, or the roots. */
  const place = (parent: string | null, ids: readonly string[], layer: number): string[] => {
    const shown: string[] = [], alike = new Map<string, string[]>()
    for (const id of ids) {
      if (t.keep.has(id)) { shown.push(id); continue }
      const key = foldID(parent, nodes.get(id)?.kind ?? '', t.via.get(id)?.deed ?? '')
      const list = alike.get(key)
      if (list) list.push(id)
      else alike.set(key, [id])
    }
    const folds: { key: string; ids: string[] }[] = []
    for (const [key, list] of alike) {
      if (list.length < foldFrom) { shown.push(...list); continue }
      const many = opened.get(key) ?? 0
      shown.push(...list.slice(0, many))
      if (list.length > many) folds.push({ key, ids: list.slice(many) })
    }
    shown.sort((a, b) => compare(nodes.get(a), nodes.get(b)))
    for (const id of shown) add({ id, node: nodes.get(id) as Node, parent, children: [], hidden: 0, opened: false, layer })
    for (const f of folds) {
      const first = nodes.get(f.ids[0] as string) as Node
      const via = f.ids.map(id => t.via.get(id))
      let count = 0
      for (const id of f.ids) { hide(id, f.key); count += 1 + (t.below.get(id) ?? 0) }
      add({ id: f.key, parent, children: [], hidden: count - f.ids.length, opened: false, layer, fold: { count: f.ids.length, kind: first.kind, deed: via[0]?.deed ?? '', guess: via.every(e => e?.guess), findings: 0 } })
    }
    return shown
  }

  // Roots that stand alone beside the entry are context; they are folded like siblings.
  const next: [string, number][] = place(null, t.roots, 0).map(id => [id, 0])
  for (let i = 0; i < next.length; i++) {
    const [id, layer] = next[i] as [string, number]
    const s = seen.get(id) as Seen, children = t.children.get(id) ?? []
    if (children.length === 0) continue
    const kept = children.some(c => t.keep.has(c))
    // Below a node that only stands for context nothing is shown until it is opened.
    if (!t.keep.has(id) && !opened.has(id)) {
      s.hidden = t.below.get(id) ?? 0
      for (const c of children) hide(c, id)
      continue
    }
    s.opened = !kept && opened.has(id)
    for (const c of place(id, children, layer + 1)) next.push([c, layer + 1])
  }
  const of = (id: string) => seen.has(id) ? id : stands.get(id)
  return { seen, order, links: join(p.edges, t, of), of }
}

function compare(a: Node | undefined, b: Node | undefined): number {
  const x = a?.first ?? '', y = b?.first ?? ''
  return x < y ? -1 : x > y ? 1 : (a?.id ?? '') < (b?.id ?? '') ? -1 : 1
}

/** join draws one line between two seen ones, whatever stands for them. */
function join(edges: readonly Edge[], t: Tree, of: (id: string) => string | undefined): Link[] {
  const by = new Map<string, Link>()
  for (const e of edges) {
    const from = of(e.from), to = of(e.to)
    if (!from || !to || from === to) continue
    const id = from + ' → ' + to
    let l = by.get(id)
    if (!l) {
      l = { id, from, to, deeds: [], count: 0, guess: true, rules: [], event: e.event, first: e.time, tree: false }
      by.set(id, l)
    }
    if (!l.deeds.includes(e.deed)) l.deeds.push(e.deed)
    if (e.rule && !l.rules.includes(e.rule)) l.rules.push(e.rule)
    l.count += Math.max(1, e.count)
    l.guess &&= !!e.guess
    const parent = t.parent.get(e.to)
    if (parent != null && of(parent) === from) l.tree = true
  }
  return [...by.values()]
}
