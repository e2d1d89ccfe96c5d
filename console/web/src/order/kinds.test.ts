// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressOf, draftsFor } from './kinds'

test('an end without its port', () => {
  assert.equal(addressOf('192.0.2.1:443'), '192.0.2.1')
  assert.equal(addressOf('[2001:db8::1]:443'), '2001:db8::1')
  assert.equal(addressOf('192.0.2.1'), '192.0.2.1')
})

test('what can be ordered against what', () => {
  const sum = 'a'.repeat(64)
  assert.deepEqual(draftsFor({ kind: 'process', host: 'web1', label: 'sh', target: '12/3400', facts: { exe: '/bin/sh' } }, 'i-1'), [{ kind: 'kill_tree', host: 'web1', incident: 'i-1', target: '12/3400', exe: '/bin/sh' }])
  assert.deepEqual(draftsFor({ kind: 'file', host: 'web1', label: 'x', target: '/srv/x', facts: { sha256: sum } }).map(d => [d.kind, d.target, d.sha256]), [['quarantine_file', '/srv/x', sum]])
  assert.deepEqual(draftsFor({ kind: 'request', host: 'web1', label: 'GET /', facts: { client: '192.0.2.9:4000' } }).map(d => [d.kind, d.target]), [['block_address', '192.0.2.9'], ['cut_connection', '192.0.2.9']])
  assert.equal(draftsFor({ kind: 'flow', host: 'web1', label: 'f', facts: { from: '10.0.0.1:1', to: '10.0.0.2:2' } }).length, 4)
  assert.deepEqual(draftsFor({ kind: 'process', host: 'web1', label: 'gone' }), [])
  assert.deepEqual(draftsFor({ kind: 'container', host: 'web1', label: 'c' }), [])
})
