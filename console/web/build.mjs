// SPDX-License-Identifier: Apache-2.0
// Builds the console into ../dist: one script and style sheet to begin with, and a piece
// for each route. Prints what each route loads at first and fails where that is too much.
import { build } from 'esbuild'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { gzipSync } from 'node:zlib'

const dist = join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '..', 'dist')
const most = 500 * 1000 // bytes, packed: the issue's bound for a route's first load

for (const name of readdirSync(dist)) if (name !== 'placeholder') rmSync(join(dist, name), { recursive: true })
mkdirSync(join(dist, 'assets'), { recursive: true })

const made = await build({
  entryPoints: { main: 'src/main.tsx' },
  bundle: true, format: 'esm', splitting: true, minify: true, metafile: true, write: false,
  target: ['es2022'], jsx: 'automatic', legalComments: 'none', charset: 'utf8',
  outdir: join(dist, 'assets'), entryNames: '[name]-[hash]', chunkNames: '[name]-[hash]', assetNames: '[name]-[hash]',
  define: { 'process.env.NODE_ENV': '"production"' },
  loader: { '.svg': 'file' },
})

const packed = {} // name → bytes
for (const file of made.outputFiles) {
  writeFileSync(file.path, file.contents)
  const small = gzipSync(file.contents, { level: 9 })
  packed[basename(file.path)] = small.length
  if (small.length < file.contents.length) writeFileSync(file.path + '.gz', small)
}

const outputs = Object.fromEntries(Object.entries(made.metafile.outputs).map(([path, o]) => [basename(path), o]))
const main = Object.keys(outputs).find(name => outputs[name].entryPoint === 'src/main.tsx')
const styles = Object.keys(outputs).filter(name => name.startsWith('main-') && name.endsWith('.css'))

// What a piece brings along: everything it imports statically, and its style sheet.
function loads(name, seen = new Set()) {
  if (seen.has(name) || !outputs[name]) return seen
  seen.add(name)
  if (outputs[name].cssBundle) seen.add(basename(outputs[name].cssBundle))
  for (const i of outputs[name].imports) if (i.kind === 'import-statement') loads(basename(i.path), seen)
  return seen
}

const sum = names => [...names].reduce((n, name) => n + (packed[name] ?? 0), 0)
const first = loads(main)
let over = false
console.log(`console: shell ${kb(sum(first))} packed`)
for (const name of Object.keys(outputs).sort()) {
  const entry = outputs[name].entryPoint
  if (!entry?.startsWith('src/pages/') && !entry?.startsWith('src/login/')) continue
  const all = sum(new Set([...first, ...loads(name)]))
  console.log(`console: ${relative('src', entry).padEnd(34)} first load ${kb(all)} packed`)
  if (all > most) over = true
}
function kb(n) { return `${(n / 1000).toFixed(1).padStart(6)} kB` }

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Ringwall</title>
<link rel="icon" href="data:,">
${styles.map(name => `<link rel="stylesheet" href="/assets/${name}">`).join('\n')}
${[...first].filter(name => name.endsWith('.js') && name !== main).map(name => `<link rel="modulepreload" href="/assets/${name}">`).join('\n')}
<script type="module" src="/assets/${main}"></script>
</head>
<body>
<div id="root"></div>
<noscript>The console is a program in JavaScript; allow it here, or use the command line: ringwall --help.</noscript>
</body>
</html>
`
writeFileSync(join(dist, 'index.html'), page)
if (over) {
  console.error(`console: a route loads more than ${kb(most)}; split it, or load what is heavy later`)
  process.exit(1)
}
