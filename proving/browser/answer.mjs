// SPDX-License-Identifier: Apache-2.0
// What answer_test.go has a person do about an intrusion on a live host.
import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { admin, ask, open, says } from './people.mjs'

const { RINGWALL_URL: url, RINGWALL_LINK: link, RINGWALL_CHROMIUM: executablePath, RINGWALL_SITE: site, RINGWALL_SHOTS: shots } = process.env
const file = join(site, 'run.php')
const held = text => console.log('held: ' + text)
const { browser, person, complaints } = await open(executablePath)

const ann = await person()
await admin(ann, link)
await ann.goto(url + '/incidents')
await ann.getByText('No intrusion has been seen.').waitFor()
console.log('intrude')
await ann.locator('tbody tr').first().waitFor()
const was = { body: readFileSync(file), stat: statSync(file) }
await ann.locator('tbody tr').first().focus()
await ann.keyboard.press('Enter')
await ann.getByRole('heading', { name: 'Root cause' }).waitFor()
held('an intrusion on a live host, seen by its sensors')

/** order chooses a card and orders an action against it, once the host has said what it would touch. */
async function order(card, action, would) {
  await ann.locator('.graph .card').filter({ hasText: card }).first().getByRole('button').first().click()
  await ann.locator('.node-panel').getByRole('button', { name: action }).click()
  await says(ann.locator('.order-look'), /The host would/)
  await says(ann.locator('.order-look'), would)
  if (shots) await ann.screenshot({ path: join(shots, `order-${action.replace(/\W+/g, '')}.png`) })
  await ann.getByLabel('Why').fill('seen in the attack graph')
  await ann.getByRole('button', { name: 'Order it' }).dblclick() // two clicks are one order
  await ann.getByText('Ordered. What comes of it').waitFor()
  await ann.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click()
  await ann.locator('.node-panel').getByRole('button', { name: 'Close' }).click()
}
const done = action => ann.getByRole('region', { name: 'Answer' }).locator('.action').filter({ hasText: action }).filter({ hasText: 'verified' })

await order(/run\.php.*1 finding/, 'quarantine file…', /move/)
await done('quarantine file').waitFor()
assert.ok(!existsSync(file), 'the page is gone from the site')
assert.equal(await ann.locator('.action').filter({ hasText: 'quarantine file' }).filter({ hasNotText: 'shadow' }).count(), 1, 'one order')
held('the file is quarantined from the page and verified, once')

await done('quarantine file').getByRole('button', { name: 'Undo' }).click()
await ann.locator('.action').filter({ hasText: 'quarantine file' }).filter({ hasText: 'undone' }).waitFor()
const now = statSync(file)
assert.deepEqual(readFileSync(file), was.body)
assert.deepEqual([now.mode, now.uid, now.gid, now.mtimeMs], [was.stat.mode, was.stat.uid, was.stat.gid, was.stat.mtimeMs])
held('undo brings it back bit for bit, with owner, mode and time')

const { answer } = await ask(ann, 'GET', new URL(ann.url()).pathname.replace('/incidents/', '/v1/incidents/') + '/graph')
const shell = answer.nodes.find(n => n.kind === 'process' && n.facts?.exe?.endsWith('sh') && n.label.includes('sleep'))
assert.ok(shell?.target, 'the graph names the shell: ' + answer.nodes.map(n => n.label).join('; '))
await order(/^sh -c/, 'kill process tree…', /kill/)
await done('kill process tree').waitFor()
for (let i = 0; existsSync('/proc/' + shell.target.split('/')[0]); i++) {
  assert.ok(i < 100, 'the process is gone')
  await ann.waitForTimeout(50) // its parent buries it
}
held('the process tree is killed from the page and verified')

const audit = await ask(ann, 'GET', '/v1/audit')
for (const verb of [/order/, /undo/]) assert.ok(audit.answer.items.some(e => e.actor === 'ann' && verb.test(e.verb)), `the audit chain has ${verb} by ann`)
held('the audit chain has it all, by name')
assert.deepEqual(complaints, [])
await browser.close()
console.log('done')
