// SPDX-License-Identifier: Apache-2.0
// What browser_test.go has a browser do, and what it then must see. Each line on standard
// output is a step that held; "intrude" asks for the recorded intrusion, "done" is the end.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { admin, enter, hostile, need, open, password, says, totp, viewer } from './people.mjs'

const axe = readFileSync(need.resolve('axe-core/axe.min.js'), 'utf8')
const { RINGWALL_URL: url, RINGWALL_LINK: link, RINGWALL_CHROMIUM: executablePath, RINGWALL_SHOTS: shots } = process.env
const held = text => console.log('held: ' + text)
const { browser, person, complaints } = await open(executablePath)

/** sound looks for what shuts people out, in both themes, and for what hangs over the edge. */
async function sound(page, name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme })
    if (shots) await page.screenshot({ path: join(shots, `${name}-${page.viewportSize().width}-${colorScheme}.png`), fullPage: true })
    await page.evaluate(axe)
    const bad = await page.evaluate(async () => (await globalThis.axe.run(document)).violations.map(v => `${v.id}: ${v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | ')}`))
    assert.deepEqual(bad, [], `axe on ${name}, ${colorScheme}`)
  }
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} hangs over the edge`)
}

// First set-up, log-in with a code.
const ann = await person()
await ann.goto(url)
await ann.getByRole('heading', { name: 'Log in' }).waitFor()
await sound(ann, 'login')
const secret = await admin(ann, link)
held('the first admin came in by the one-time link and set up an authenticator app')
await ann.getByRole('button', { name: 'Log out' }).click()
await ann.goto('about:blank')
await ann.goto(link)
await ann.getByText('This link was used').waitFor()
held('the link opens nothing a second time')
await ann.goto(url)
await ann.getByLabel('Name').fill('ann')
await ann.getByLabel('Password').fill('not the password of ann')
await ann.getByRole('button', { name: 'Log in', exact: true }).click()
await ann.getByText('Name, password or code is wrong.').waitFor()
await ann.getByLabel('Password').fill(password)
await ann.getByRole('button', { name: 'Log in', exact: true }).click()
await ann.getByLabel('Code of the authenticator app').fill(totp(secret, 1)) // the step of the set-up is spent
await ann.getByRole('button', { name: 'Go on' }).click()
await ann.getByRole('heading', { name: 'Overview' }).waitFor()
held('log-in with password and code')

// An intrusion appears while the page is open.
await ann.keyboard.press('g')
await ann.keyboard.press('i')
await ann.getByText('No intrusion has been seen.').waitFor()
await sound(ann, 'incidents-empty')
console.log('intrude')
await ann.getByText('POST /add.php').first().waitFor()
held('the incident appears in the list by itself')
await ann.locator('tbody tr').first().focus()
await ann.keyboard.press('Enter')
await ann.getByRole('heading', { name: 'Root cause' }).waitFor()
await says(ann.locator('.entry-line'), /POST \/add\.php from [\d.]+:\d+/)
const incident = new URL(ann.url()).pathname
const cards = ann.locator('.graph .card')
await ann.locator('.card.entry').waitFor()
await says(ann.locator('.card.entry'), /POST \/add\.php/)
await ann.getByRole('group', { name: 'Attack graph' }).focus()
await ann.waitForFunction(() => document.querySelectorAll('.graph .card[class*="sev-"]').length >= 4)
held('the graph leads from the upload to what findings speak of')
await ann.getByRole('button', { name: 'Fit all' }).click()
const left = async name => (await cards.filter({ hasText: name }).first().boundingBox()).x
assert.ok(await left('POST /add.php') < await left('run.php') && await left('run.php') < await left('sh -c id'), 'the entry stands left of the page, the page left of the shell')
assert.ok(await cards.filter({ hasText: 'requests' }).count() > 0, 'the scan is folded')
await cards.filter({ hasText: /\/run\.php/ }).first().getByRole('button').first().click()
await says(ann.locator('.node-panel'), /attached\/run\.php/)
await says(ann.locator('.node-panel'), /SHA-256/)
assert.ok(await ann.locator('.time-mark.lit').count() > 0, 'what is chosen in the graph is lit in the time line')
await ann.getByRole('group', { name: 'Attack graph' }).focus()
const before = ann.url()
await ann.keyboard.press('ArrowRight')
await ann.waitForFunction(url => location.href !== url, before)
held('a node tells its facts, and arrow keys walk the findings')
const story = ann.getByRole('region', { name: 'Story' })
await says(story, /It came in by the request POST \/add\.php from/)
await says(story, /Reverse Shell in a Command Line/)
await story.getByRole('heading', { name: 'What came of it' }).waitFor()
const rest = story.getByRole('button', { name: /^Show all/ })
if (await rest.count()) await rest.click()
await says(story, /wrote \/etc\/cron\.d\/backup-/)
held('the story names the request, the shell and what came of it')
const evidence = ann.getByRole('region', { name: 'Evidence' })
await evidence.getByRole('button', { name: /Reverse Shell/ }).first().click()
await evidence.getByRole('button', { name: /recorded events?/ }).first().click()
await says(evidence.locator('.raw-event').first(), /process\.exec/)
held('evidence goes down to the recorded events')
await says(ann.getByRole('region', { name: 'Answer' }), /block address/)
await sound(ann, 'incident')

// Two people at one incident.
const bob = await person()
await enter(ann, bob, url, 'bob', 'responder')
await bob.goto(url + incident)
await bob.getByLabel('Status').waitFor()
await ann.getByLabel('Status').selectOption('working')
await bob.waitForFunction(() => document.querySelector('.desk select')?.value === 'working')
held('a second browser sees the change live')
await bob.route('**/v1/follow', r => r.abort()) // bob's page grows old
await bob.reload()
await bob.getByLabel('Status').waitFor()
await ann.getByLabel('Status').selectOption('solved')
await ann.waitForFunction(() => document.querySelector('.desk select')?.value === 'solved' && !document.querySelector('.desk select').disabled)
await bob.getByLabel('Status').selectOption('ordinary')
await bob.getByText('Somebody else changed it meanwhile.').waitFor()
await bob.waitForFunction(() => document.querySelector('.desk select')?.value === 'solved')
held('who was slower is told, and nothing is overwritten')
await bob.getByLabel('Write a note').fill(hostile)
await bob.getByRole('button', { name: 'Add', exact: true }).click()
const note = bob.locator('.note-text')
await says(note, /<script>alert\(1\)<\/script>/)
await says(note, /U\+202E/)
assert.equal(await bob.locator('script:not([src])').count(), 0)
held('hostile text is shown as text, its marks of direction by name')

// A passkey, from a security key that the browser plays.
await bob.unroute('**/v1/follow')
const keys = await bob.context().newCDPSession(bob)
await keys.send('WebAuthn.enable')
await keys.send('WebAuthn.addVirtualAuthenticator', { options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } })
await bob.goto(url + '/account')
await bob.getByRole('button', { name: 'Add a passkey' }).click()
await bob.getByLabel('What you call it').fill('key of the test')
await bob.getByRole('dialog').getByRole('button', { name: 'Add a passkey' }).click()
await bob.getByRole('heading', { name: 'Recovery codes' }).waitFor()
await bob.getByRole('button', { name: 'I have kept them' }).click()
await bob.getByText('key of the test').waitFor()
await bob.getByRole('button', { name: 'Log out' }).click()
await bob.getByRole('button', { name: 'Log in with a passkey' }).click()
await bob.getByRole('heading', { name: 'My account' }).waitFor()
held('a passkey is added, brings recovery codes, and logs in by itself')

// A viewer may look and not act.
const vic = await person()
await enter(ann, vic, url, 'vic', 'viewer')
await vic.goto(url + incident)
await vic.getByRole('region', { name: 'Story' }).waitFor()
assert.equal(await vic.getByLabel('Status').count() + await vic.getByLabel('Write a note').count() + await vic.getByRole('button', { name: 'Undo' }).count(), 0)
await viewer(vic, incident)
held('a viewer has no buttons that act, and the API refuses them all the same')

// Big graphs, small screens, the other language.
await ann.route('**/graph', r => r.fulfill({ json: big() }))
await ann.goto(url + incident)
await ann.locator('.card.entry').waitFor()
const drawn = await ann.locator('.graph .card').count()
assert.ok(drawn > 3 && drawn < 200, `${drawn} cards of 5,000 nodes`)
const from = Date.now()
await ann.getByRole('group', { name: 'Attack graph' }).focus()
await ann.keyboard.press('ArrowRight')
await ann.locator('.node-panel').waitFor()
console.log(`note: of 5,000 nodes ${drawn} cards are drawn, one is chosen in ${Date.now() - from} ms`)
held('five thousand nodes stay usable')
await ann.unroute('**/graph')
const phone = await person({ viewport: { width: 390, height: 844 }, locale: 'zh-CN', hasTouch: true, storageState: { ...await ann.context().storageState(), origins: [] } })
for (const path of ['/', '/incidents', incident, '/account']) {
  await phone.goto(url + path)
  await phone.locator('h1').waitFor()
  await phone.waitForFunction(() => !document.querySelector('.skeleton'))
  await sound(phone, 'zh' + path.replaceAll('/', '-').replace(/i-\w+/, 'one'))
}
await phone.getByRole('button', { name: '菜单' }).click()
await phone.getByRole('link', { name: '总览' }).click()
await phone.getByRole('heading', { name: '总览' }).waitFor()
held('every page at 390 px in Chinese, both themes, axe clean')
for (const path of ['/', '/incidents', incident, '/account']) console.log('note: ' + await load(path))
assert.deepEqual(complaints, [])
await browser.close()
console.log('done')

/** load tells how much a route takes at first, and when it can be used. */
async function load(path) {
  const page = await (await browser.newContext({ storageState: await ann.context().storageState() })).newPage()
  let bytes = 0
  const session = await page.context().newCDPSession(page)
  await session.send('Network.enable')
  const assets = new Set()
  session.on('Network.responseReceived', e => { if (/\/assets\/|text\/html/.test(e.response.url + e.response.mimeType)) assets.add(e.requestId) })
  session.on('Network.loadingFinished', e => { if (assets.has(e.requestId)) bytes += e.encodedDataLength })
  await page.goto(url + path)
  await page.locator('h1').waitFor()
  await page.waitForFunction(() => !document.querySelector('.skeleton'))
  const ms = Math.round(await page.evaluate(() => performance.now()))
  await page.context().close()
  assert.ok(bytes > 10_000 && bytes < 500_000, `${path} loads ${bytes} bytes at first`)
  return `${path.replace(/i-\w+/, 'ID')}: ${(bytes / 1000).toFixed(0)} kB packed, all of it there after ${ms} ms`
}

/** big is an attack graph of 5,000 nodes: one shell wrote 3,000 files and began a chain of 2,000 processes. */
function big() {
  const nodes = [], edges = [], at = i => new Date(Date.UTC(2026, 0, 1) + i * 10).toISOString()
  const node = (id, kind, more = {}) => nodes.push({ id, kind, host: 'web1', label: id, first: at(nodes.length), last: at(nodes.length), depth: 0, ...more })
  const edge = (from, to, deed) => edges.push({ from, to, deed, time: at(edges.length), count: 1 })
  node('entry', 'request', { entry: true })
  node('shell', 'process', { findings: ['f1'] })
  edge('entry', 'shell', 'forked')
  for (let i = 0; i < 3000; i++) { node(`file${i}`, 'file'); edge('shell', `file${i}`, 'wrote') }
  for (let i = 0; i < 1997; i++) { node(`p${i}`, 'process', i % 500 === 0 ? { findings: ['f2'] } : {}); edge(i ? `p${i - 1}` : 'shell', `p${i}`, 'forked') }
  return { at: at(0), cut: 0, nodes, edges }
}
