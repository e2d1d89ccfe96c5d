// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fold, foldID, foldStep, type Edge, type Node, type Picture } from './fold'
import { card, layout, step } from './layout'

const none = new Map<string, number>()
let clock = 0
const time = () => new Date(Date.UTC(2026, 0, 1) + clock++ * 1000).toISOString()

function node(id: string, kind = 'process', more: Partial<Node> = {}): Node {
  const at = time()
  return { id, kind, host: 'web1', label: id, first: at, last: at, depth: 0, ...more }
}
function edge(from: string, to: string, deed = 'forked', more: Partial<Edge> = {}): Edge {
  return { from, to, deed, time: time(), count: 1, ...more }
}
const found = { findings: ['f1'] }
const names = (p: Picture, opened = none) => fold(p, opened).order.map(s => s.id)

/** upload: a request brought a shell, which wrote many files and read one of note. */
function upload(files: number): Picture {
  const nodes = [node('request', 'request', { entry: true }), node('worker', 'process', found), node('shell', 'process', found), node('shadow', 'file', found)]
  const edges = [edge('request', 'worker', 'served by'), edge('worker', 'shell'), edge('shell', 'shadow', 'read')]
  for (let i = 0; i < files; i++) {
    nodes.push(node(`f${i}`, 'file'))
    edges.push(edge('shell', `f${i}`, 'wrote'))
  }
  return { nodes, edges }
}

test('alike siblings are one fold, what a finding speaks of is not', () => {
  const f = fold(upload(37), none)
  const key = foldID('shell', 'file', 'wrote')
  assert.deepEqual(f.order.map(s => s.id), ['request', 'worker', 'shell', 'shadow', key])
  assert.equal(f.seen.get(key)?.fold?.count, 37)
  assert.equal(f.of('f12'), key)
  const line = f.links.find(l => l.to === key)
  assert.equal(line?.count, 37)
  assert.equal(line?.tree, true)
})

test('two siblings are no fold', () => assert.deepEqual(names(upload(2)), ['request', 'worker', 'shell', 'shadow', 'f0', 'f1']))

test('an opened fold shows some and keeps the rest', () => {
  const key = foldID('shell', 'file', 'wrote')
  const f = fold(upload(100), new Map([[key, foldStep]]))
  assert.equal(f.seen.get(key)?.fold?.count, 100 - foldStep)
  assert.equal(f.order.filter(s => s.id.startsWith('f') && s.node).length, foldStep)
  assert.ok(!fold(upload(100), new Map([[key, 100]])).seen.has(key))
})

test('a subtree without findings hides in the node above it, and opens', () => {
  const p = upload(0)
  p.nodes.push(node('cron'), node('a'), node('b'))
  p.edges.push(edge('worker', 'cron'), edge('cron', 'a'), edge('a', 'b'))
  assert.equal(fold(p, none).seen.get('cron')?.hidden, 2)
  assert.equal(fold(p, none).of('b'), 'cron')
  const open = fold(p, new Map([['cron', 1]]))
  assert.equal(open.seen.get('cron')?.opened, true)
  assert.equal(open.seen.get('a')?.hidden, 1)
})

test('a line is a guess only when all of it is', () => {
  const p: Picture = { nodes: [node('a', 'request', { entry: true }), node('b', 'process', found), node('c', 'process', found)], edges: [edge('a', 'b', 'led to', { guess: true, rule: 'time' }), edge('a', 'c', 'led to', { guess: true }), edge('a', 'c', 'served by')] }
  const links = fold(p, none).links
  assert.deepEqual(links.map(l => [l.to, l.guess, l.deeds]), [['b', true, ['led to']], ['c', false, ['led to', 'served by']]])
})

test('a worker that serves two requests stands once for each', () => {
  const p: Picture = {
    nodes: [node('upload', 'request', { entry: true }), node('page', 'file', found), node('one', 'request', found), node('two', 'request', found), node('worker'), node('id', 'process', found), node('uname', 'process', found), node('tmp', 'file')],
    edges: [edge('upload', 'page', 'wrote'), edge('page', 'one', 'executed'), edge('page', 'two', 'executed'), edge('one', 'worker', 'served'), edge('worker', 'id'), edge('worker', 'tmp', 'wrote'), edge('two', 'worker', 'served'), edge('worker', 'uname')],
  }
  const f = fold(p, none)
  assert.equal(f.seen.get('id')?.parent, 'one')
  assert.equal(f.seen.get('uname')?.parent, 'two')
  const line = f.links.find(l => l.from === 'two' && l.to === 'uname')
  assert.deepEqual([line?.deeds, line?.via.map(v => v.id)], [['forked'], ['worker@two']])
  assert.equal(f.of('tmp'), 'id') // what only passed on, and what it did beside, stands behind what came of it
  const open = fold(p, new Map([['worker@two', 1]]))
  assert.equal(open.seen.get('uname')?.parent, 'worker@two')
  assert.equal(open.seen.get('worker@two')?.opened, true)
  assert.equal(open.seen.get('id')?.parent, 'one')
})

test('of a long chain its ends are seen: what began it, and who did what a finding speaks of', () => {
  const p: Picture = { nodes: [node('entry', 'request', { entry: true }), node('a'), node('b'), node('c'), node('file', 'file', found)], edges: [edge('entry', 'a'), edge('a', 'b'), edge('b', 'c'), edge('c', 'file', 'wrote')] }
  assert.deepEqual(names(p), ['entry', 'c', 'file'])
  assert.deepEqual(fold(p, none).links.find(l => l.to === 'c')?.via.map(v => v.id), ['a', 'b'])
})

test('what was used hangs to its user, best to one that a finding speaks of', () => {
  const p = upload(0)
  p.nodes.push(node('secret', 'file'), node('other'))
  p.edges.push(edge('worker', 'other'), edge('secret', 'other', 'read'), edge('secret', 'shell', 'read'))
  const f = fold(p, none)
  assert.equal(f.seen.get('secret')?.parent, 'shell')
  assert.equal(f.links.find(l => l.to === 'secret')?.from, 'shell')
})

test('only what findings above grey speak of is kept in sight', () => {
  const p: Picture = { nodes: [node('entry', 'request', { entry: true }), ...[1, 2, 3, 4].map(i => node(`scan${i}`, 'request', { findings: ['grey'] }))], edges: [] }
  assert.deepEqual(fold(p, none, n => (n.findings ?? []).includes('black')).order.map(s => s.id), ['entry', foldID(null, 'request', '')])
})

test('circles, loose ends and what the entry does not reach are all there', () => {
  const p: Picture = {
    nodes: [node('entry', 'request', { entry: true, ...found }), node('x', 'process', found), node('y', 'process', found), node('loose', 'file', found), node('i', 'process', found), node('j', 'process', found)],
    edges: [edge('entry', 'x'), edge('x', 'y'), edge('y', 'x'), edge('i', 'j'), edge('j', 'i'), edge('x', 'x'), edge('x', 'nowhere')],
  }
  const f = fold(p, none)
  assert.deepEqual(f.order.map(s => s.id).sort(), ['entry', 'i', 'j', 'loose', 'x', 'y'])
  assert.equal(f.links.find(l => l.from === 'y' && l.to === 'x')?.tree, false)
  assert.equal(layout(f).size, 6)
})

test('no entry: the earliest stands for it', () => {
  const p: Picture = { nodes: [node('a'), node('b'), node('c')], edges: [edge('a', 'b'), edge('b', 'c')] }
  assert.deepEqual(names(p), ['a', 'b'])
  assert.equal(fold(p, none).seen.get('b')?.hidden, 1)
  assert.deepEqual(names({ nodes: [], edges: [] }), [])
})

test('five thousand nodes become some dozens, and cards never touch', () => {
  const p = upload(3000)
  for (let i = 0; i < 1000; i++) { // a chain deeper than any stack, and its files
    p.nodes.push(node(`p${i}`), node(`q${i}`, 'file'))
    p.edges.push(edge(i ? `p${i - 1}` : 'worker', `p${i}`), edge(`p${i}`, `q${i}`, 'wrote'))
  }
  assert.ok(p.nodes.length >= 5000)
  assert.ok(names(p).length < 20)
  const all = new Map<string, number>([[foldID('shell', 'file', 'wrote'), 5000]])
  for (const n of p.nodes) all.set(n.id, 1)
  const f = fold(p, all)
  assert.equal(f.order.length, p.nodes.length)
  const places = layout(f)
  const columns = new Map<number, number[]>()
  for (const { x, y } of places.values()) columns.set(x, [...columns.get(x) ?? [], y])
  for (const [x, ys] of columns) {
    assert.equal(x % step.x, 0)
    ys.sort((a, b) => a - b)
    for (let i = 1; i < ys.length; i++) assert.ok((ys[i] ?? 0) - (ys[i - 1] ?? 0) >= card.height)
  }
})
