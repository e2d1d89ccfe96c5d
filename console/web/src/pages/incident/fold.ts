// SPDX-License-Identifier: Apache-2.0

// What of an attack graph is drawn. The graph may have thousands of nodes; a person reads
// some dozens. So a tree is laid through it from the entry, by who was reached first; in
// sight stay the entry, what findings above grey speak of, and the way there. The rest is
// folded: alike siblings into one "+37 files", a subtree into the node above it, and a
// process that only passed the deed on into the line ("via php-fpm").
//
// A worker serves one request after the other and is one node. Drawn so, the deeds of the
// second request would seem to come of the first; so a worker stands once for each request
// it served, with what it did until the next. All is linear in nodes and edges but for
// sorting siblings.
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
  fold?: { count: number; kind: string; deed: string }
  parent: string | null
  children: string[]
  /** hidden counts the nodes folded away below a node. */
  hidden: number
  /** opened: a person opened it, and may fold it again. */
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
  /** tree: it leads from the node before; else it crosses. */
  tree: boolean
  /** via are the nodes that only passed it on, with their ids to open them by. */
  via: { id: string; node: Node }[]
}

export interface Folded {
  seen: Map<string, Seen>
  order: Seen[]
  links: Link[]
  /** of: which seen one stands for a node, folded away or not. */
  of: (node: string) => string | undefined
}

/** alike siblings from this many on are folded. */
export const foldFrom = 3
/** that many of an opened fold are shown at a time; the rest stays folded. */
export const foldStep = 40

/** Place is a node where the tree meets it: a worker has one for each request. */
interface Place {
  id: string
  node: Node
  parent: Place | null
  via?: Edge
  children: Place[]
  keep: boolean
  below: number
}

const served = 'served'

class Tree {
  readonly nodes: Map<string, Node>
  readonly places = new Map<string, Place>()
  readonly at = new Map<string, Place[]>() // by node
  readonly roots: Place[] = []
  private readonly out = new Map<string, Edge[]>()
  private readonly serves = new Map<string, Edge[]>()
  private readonly order: Place[] = []

  constructor(p: Picture, private readonly tells: (n: Node) => boolean) {
    this.nodes = new Map(p.nodes.map(n => [n.id, n]))
    const brought = new Set<string>()
    for (const e of p.edges) {
      if (!this.nodes.has(e.from) || !this.nodes.has(e.to) || e.from === e.to) continue
      push(this.out, e.from, e)
      if (e.deed === served) push(this.serves, e.to, e)
      brought.add(e.to)
    }
    const entry = p.nodes.find(n => n.entry)
    if (entry) this.walk(entry)
    this.feeders(p)
    // The rest: first what nothing led to, then what only a circle leads to.
    for (const n of p.nodes) if (!brought.has(n.id)) this.walk(n)
    for (const n of p.nodes) this.walk(n)
    this.weigh()
  }

  /** whose gives the place that a deed of a node belongs to, and whether it is known yet. */
  private placeID(node: string, by: Edge): string {
    return by.deed === served ? `${node}@${by.from}` : node
  }

  /** ownerID is the place of the doer at the time of its deed. */
  ownerID(e: Edge): string {
    const all = this.serves.get(e.from)
    if (!all || !all[1]) return all?.[0] && this.places.has(this.placeID(e.from, all[0])) ? this.placeID(e.from, all[0]) : e.from
    let last: Edge | undefined
    for (const s of all) if (s.time <= e.time) last = s
    return last ? this.placeID(e.from, last) : e.from
  }

  /** targetID is the place that a deed leads to. */
  targetID(e: Edge): string {
    const id = this.placeID(e.to, e)
    return this.places.has(id) ? id : this.at.get(e.to)?.[0]?.id ?? e.to
  }

  private add(id: string, node: Node, parent: Place | null, via?: Edge): Place {
    const place: Place = { id, node, parent, via, children: [], keep: false, below: 0 }
    this.places.set(id, place)
    push(this.at, node.id, place)
    this.order.push(place)
    if (parent) parent.children.push(place)
    else this.roots.push(place)
    return place
  }

  private walk(root: Node) {
    if (this.at.has(root.id)) return
    const queue = [this.add(root.id, root, null)]
    for (let i = 0; i < queue.length; i++) {
      const from = queue[i] as Place
      for (const e of this.out.get(from.node.id) ?? []) {
        if (!this.owns(from, e)) continue
        const id = this.placeID(e.to, e)
        // A node has one place, but for workers, which have one for each request.
        if (this.places.has(id) || e.deed !== served && this.at.has(e.to)) continue
        queue.push(this.add(id, this.nodes.get(e.to) as Node, from, e))
      }
    }
  }

  private owns(from: Place, e: Edge): boolean {
    const all = this.serves.get(e.from)
    return !all || all.length < 2 || this.ownerID(e) === from.id
  }

  /** feeders hang what the entry did not reach, but what was used by what it reached, to its user: the file that was read. */
  private feeders(p: Picture) {
    for (const n of p.nodes) {
      if (this.at.has(n.id)) continue
      let best: { place: Place; edge: Edge } | undefined
      for (const e of this.out.get(n.id) ?? []) {
        const place = this.at.get(e.to)?.[0]
        if (place && (!best || this.tells(place.node) && !this.tells(best.place.node))) best = { place, edge: e }
      }
      if (best) this.add(n.id, n, best.place, best.edge)
    }
  }

  private weigh() {
    for (const p of this.order) {
      if (!p.node.entry && !this.tells(p.node)) continue
      for (let at: Place | null = p; at && !at.keep; at = at.parent) at.keep = true
    }
    if (this.roots[0] && !this.roots.some(r => r.keep)) this.roots[0].keep = true
    for (const p of this.order.reverse()) if (p.parent) p.parent.below += 1 + p.below
  }

  /**
   * passes: the place only passed on what one kept child came of. Who did himself what a
   * finding speaks of stays in sight, unless he is a worker that served a request.
   */
  passes(p: Place): boolean {
    if (p.parent === null || p.node.kind !== 'process' && p.node.kind !== 'flow' || p.node.entry || this.tells(p.node)) return false
    const [child, second] = p.children.filter(c => c.keep)
    return child !== undefined && second === undefined && (p.via?.deed === served || !this.tells(child.node))
  }
}

function push<K, V>(m: Map<K, V[]>, k: K, v: V) {
  const list = m.get(k)
  if (list) list.push(v)
  else m.set(k, [v])
}

/** foldID names a fold: its parent, and what its siblings are alike in. */
export const foldID = (parent: string | null, kind: string, deed: string) => `fold ${parent ?? ''} ${kind} ${deed}`

/** fold chooses what is seen. opened holds ids of what a person opened, with how many; tells says whether a node is spoken of by a finding above grey. */
export function fold(p: Picture, opened: ReadonlyMap<string, number>, tells: (n: Node) => boolean = n => (n.findings ?? []).length > 0): Folded {
  const t = new Tree(p, tells)
  const seen = new Map<string, Seen>(), order: Seen[] = []
  const stands = new Map<string, string>() // places that are folded away
  const within = new Set<string>() // those of them that are folded into a line
  const via = new Map<string, Place[]>() // by seen id: what passed it on

  const hide = (place: Place, by: string) => {
    const stack = [place]
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      stands.set(at.id, by)
      stack.push(...at.children)
    }
  }
  const add = (s: Seen) => {
    seen.set(s.id, s)
    order.push(s)
    if (s.parent !== null) seen.get(s.parent)?.children.push(s.id)
  }
  /** through follows what only passed on, and gives what came of it. */
  const through = (place: Place): { place: Place; passed: Place[] } => {
    const passed: Place[] = []
    let at = place
    while (!opened.has(at.id) && t.passes(at)) {
      passed.push(at)
      at = at.children.find(c => c.keep) as Place
    }
    return { place: at, passed }
  }
  /** show puts children, or roots, below a seen one and gives those to go on from. */
  const show = (parent: string | null, places: readonly Place[], layer: number): Place[] => {
    const shown: Place[] = [], alike = new Map<string, Place[]>()
    for (const c of places) {
      if (!c.keep) { push(alike, foldID(parent, c.node.kind, c.via?.deed ?? ''), c); continue }
      const { place, passed } = through(c)
      shown.push(place)
      if (passed.length === 0) continue
      via.set(place.id, passed)
      for (const gone of passed) {
        stands.set(gone.id, place.id)
        within.add(gone.id)
        for (const other of gone.children) if (!other.keep) hide(other, place.id)
      }
    }
    const folds: { id: string; places: Place[] }[] = []
    for (const [id, list] of alike) {
      const many = list.length < foldFrom ? list.length : opened.get(id) ?? 0
      shown.push(...list.slice(0, many))
      if (list.length > many) folds.push({ id, places: list.slice(many) })
    }
    shown.sort(compare)
    for (const c of shown) add({ id: c.id, node: c.node, parent, children: [], hidden: 0, opened: opened.has(c.id), layer })
    for (const f of folds) {
      for (const c of f.places) hide(c, f.id)
      const first = f.places[0] as Place
      add({ id: f.id, parent, children: [], hidden: f.places.reduce((n, c) => n + c.below, 0), opened: false, layer, fold: { count: f.places.length, kind: first.node.kind, deed: first.via?.deed ?? '' } })
    }
    return shown
  }

  const next: [Place, number][] = show(null, t.roots, 0).map(r => [r, 0])
  for (let i = 0; i < next.length; i++) {
    const [place, layer] = next[i] as [Place, number]
    if (place.children.length === 0) continue
    // Below what only stands for context nothing is shown until it is opened.
    if (!place.keep && !opened.has(place.id)) {
      const s = seen.get(place.id)
      if (s) s.hidden = place.below
      for (const c of place.children) hide(c, place.id)
      continue
    }
    for (const c of show(place.id, place.children, layer + 1)) next.push([c, layer + 1])
  }
  const standing = (id: string) => seen.has(id) ? id : stands.get(id)
  const of = (node: string) => {
    for (const at of t.at.get(node) ?? []) if (seen.has(at.id)) return at.id
    return seen.has(node) ? node : stands.get(t.at.get(node)?.[0]?.id ?? '')
  }
  return { seen, order, links: join(p.edges, t, seen, via, within, standing), of }
}

/** compare puts the entry first, then by time. */
function compare(a: Place, b: Place): number {
  if (!a.node.entry !== !b.node.entry) return a.node.entry ? -1 : 1
  return a.node.first < b.node.first ? -1 : a.node.first > b.node.first ? 1 : a.id < b.id ? -1 : 1
}

/** join draws one line between two seen ones, whatever stands for them. */
function join(edges: readonly Edge[], t: Tree, seen: ReadonlyMap<string, Seen>, via: ReadonlyMap<string, Place[]>, within: ReadonlySet<string>, standing: (id: string) => string | undefined): Link[] {
  const by = new Map<string, Link>()
  for (const e of edges) {
    if (!t.nodes.has(e.from) || !t.nodes.has(e.to)) continue
    const owner = t.ownerID(e), target = t.targetID(e)
    if (within.has(owner) || within.has(target)) continue // its line is drawn below
    let from = standing(owner) ?? standing(e.from), to = standing(target) ?? standing(e.to)
    if (!from || !to || from === to) continue
    // What is used hangs below its user; its line is drawn from left to right all the same.
    const hangs = t.places.get(from)
    if (hangs?.via?.from === hangs?.node.id && seen.get(from)?.parent === to) [from, to] = [to, from]
    const id = from + ' \u2192 ' + to
    let l = by.get(id)
    if (!l) {
      l = { id, from, to, deeds: [], count: 0, guess: true, rules: [], tree: seen.get(to)?.parent === from, via: [] }
      by.set(id, l)
    }
    if (!l.deeds.includes(e.deed)) l.deeds.push(e.deed)
    if (e.rule && !l.rules.includes(e.rule)) l.rules.push(e.rule)
    l.count += Math.max(1, e.count)
    l.guess &&= !!e.guess
  }
  // A line through what passed it on says the last deed: that is what brought the target.
  for (const [id, passed] of via) {
    const s = seen.get(id)
    if (!s || s.parent === null) continue
    const line = s.parent + ' \u2192 ' + id, last = t.places.get(id)?.via
    const steps = [...passed.map(x => x.via), last].filter(e => e !== undefined)
    by.set(line, { id: line, from: s.parent, to: id, deeds: last ? [last.deed] : [], count: last?.count ?? 1, guess: steps.some(e => e.guess), rules: steps.flatMap(e => e.rule ? [e.rule] : []), tree: true, via: passed.map(x => ({ id: x.id, node: x.node })) })
  }
  return [...by.values()]
}
