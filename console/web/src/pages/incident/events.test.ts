// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventsSQL, rowsOf } from './events'

test('ids become conditions, and hostile names stay text', () => {
  assert.equal(eventsSQL(['default/web1/1780/42']), "SELECT * FROM events WHERE (host = 'web1' AND epoch = 1780 AND seq = 42) ORDER BY time_ns LIMIT 50")
  assert.ok(eventsSQL(["t/a' OR 1=1 --/1/2"]).includes("host = 'a'' OR 1=1 --'"))
  assert.ok(eventsSQL(['no id', 't/h/1/2; DROP']).includes('WHERE false'))
})

test('a hunt becomes rows without what is empty', () => {
  assert.deepEqual(rowsOf('["web1",null,"",7]\n{"end":{"columns":["host","pid","exe","seq"],"rows":1}}\n'), [{ host: 'web1', seq: '7' }])
  assert.throws(() => rowsOf('{"error":"no such table"}'), /no such table/)
})
