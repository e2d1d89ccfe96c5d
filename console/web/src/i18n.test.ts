// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { dictionary, fill } from './i18n'

test('values go into their places, and a place without one stays', () => {
  assert.equal(fill('{n} of {all}', { n: 3 }), '3 of {all}')
  assert.equal(fill('{n}', { n: '{n} <b>' }), '{n} <b>')
  assert.equal(fill('plain'), 'plain')
  const d = dictionary({ a: 'x' }, { a: '\u4e2d' })
  assert.equal(d.zh.a, '\u4e2d')
})

// The compiler holds every key to both languages; this holds the places within the texts,
// and the Chinese to be Chinese.
test('both languages have the same places', () => {
  const files = readdirSync('src', { recursive: true }) as string[]
  let pairs = 0
  for (const name of files.filter(f => /\.tsx?$/.test(f) && !f.includes('.test.'))) {
    const source = readFileSync(join('src', name), 'utf8')
    for (const m of source.matchAll(/dictionary\((\{[^]*?\n?\}),\s*(\{[^]*?\n?\})\)/g)) {
      const [en, zh] = [m[1], m[2]].map(text => new Function(`return ${text}`)() as Record<string, string>)
      assert.deepEqual(Object.keys(zh ?? {}).sort(), Object.keys(en ?? {}).sort(), name)
      for (const key of Object.keys(en ?? {})) {
        const places = (s: string | undefined) => [...(s ?? '').matchAll(/\{\w+\}/g)].map(x => x[0]).sort()
        assert.deepEqual(places(zh?.[key]), places(en?.[key]), `${name}: ${key}`)
        pairs++
      }
    }
  }
  assert.ok(pairs > 200, `${pairs} texts were read`)
})
