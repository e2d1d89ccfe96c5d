// SPDX-License-Identifier: Apache-2.0
// Runs src/**/*.test.ts with node's own runner; esbuild strips the types, so that Debian's
// node can.
import { build } from 'esbuild'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'

const tests = readdirSync('src', { recursive: true }).filter(name => /\.test\.tsx?$/.test(name)).map(name => join('src', name))
const out = mkdtempSync(join(tmpdir(), 'ringwall-console-'))
try {
  await build({ entryPoints: tests, bundle: true, platform: 'node', format: 'esm', outdir: out, outbase: 'src', outExtension: { '.js': '.mjs' }, jsx: 'automatic', loader: { '.css': 'empty' }, logLevel: 'warning' })
  const files = readdirSync(out, { recursive: true }).filter(name => name.endsWith('.mjs')).map(name => join(out, name))
  process.exitCode = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' }).status ?? 1
} finally {
  rmSync(out, { recursive: true })
}
