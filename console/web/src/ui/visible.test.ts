// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clip, plainText, visible } from './visible'

test('what cannot be seen is named', () => {
  for (const [text, want] of [
    ['plain', 'plain'],
    ['中文 é ñ 🙂', '中文 é ñ 🙂'],
    ['a\u202egnp.exe', 'a⟨U+202E⟩gnp.exe'],
    ['a\u200bb', 'a⟨U+200B⟩b'],
    ['\u001b[31mred', '⟨ESC⟩[31mred'],
    ['line\r\nline', 'line⟨\\r⟩⟨\\n⟩line'],
    ['\u{e0041}tag', '⟨U+E0041⟩tag'],
    ['half \ud800', 'half ⟨U+D800⟩'],
    ['<script>alert(1)</script>', '<script>alert(1)</script>'], // React's to escape
    ['\u2066isolate\u2069', '⟨U+2066⟩isolate⟨U+2069⟩'],
  ] as const) assert.equal(plainText(text), want)
})

test('nothing is lost and nothing hidden is left', () => {
  for (let i = 0; i < 0x3000; i++) {
    const pieces = visible(String.fromCodePoint(i))
    assert.equal(pieces.length, 1)
    if (!pieces[0]?.mark) assert.equal(pieces[0]?.text, String.fromCodePoint(i))
  }
})

test('a clip never cuts a character in two', () => {
  assert.deepEqual(clip('abc', 3), { head: 'abc', left: 0 })
  assert.deepEqual(clip('abcd', 3), { head: 'abc', left: 1 })
  assert.deepEqual(clip('🙂🙂🙂', 2), { head: '🙂🙂', left: 1 })
  assert.equal(clip('x'.repeat(10_000), 160).left, 9840)
})
