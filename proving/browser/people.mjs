// SPDX-License-Identifier: Apache-2.0
// What people do at the door, for console.mjs and whoever goes on from it.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { createRequire } from 'node:module'

/** need finds what the console's packages brought. */
export const need = createRequire(new URL('../../console/web/package.json', import.meta.url))
const { chromium } = need('playwright-core')

export const password = 'seven purple lanterns drift'

/** hostile is a text that would do harm were it shown as it is. */
export const hostile = '<script>alert(1)</script> \u202egnp.exe \u0007 ' + 'A'.repeat(10_000)

/** totp gives the code of a secret, that many steps from now (RFC 6238). */
export function totp(secret, ahead = 0) {
  let bits = ''
  for (const c of secret) bits += 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')
  const step = Buffer.alloc(8)
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead))
  const h = createHmac('sha1', Buffer.from(bits.match(/.{8}/g).map(x => parseInt(x, 2)))).update(step).digest()
  return String((h.readUInt32BE((h[19] ?? 0) & 15) & 0x7fffffff) % 1e6).padStart(6, '0')
}

/** says waits until a part of the page says something. */
export async function says(part, what) {
  try {
    await part.filter({ hasText: what }).first().waitFor()
  } catch (e) {
    throw new Error(`${what} is not said on ${part.page().url()}, but: ${(await part.allInnerTexts()).join(' | ').slice(0, 2000)}`, { cause: e })
  }
}

/** redeem opens a one-time link and sets the password. */
async function redeem(page, link, name) {
  await page.goto(link)
  if (name) await page.getByLabel('Name').fill(name)
  await page.getByLabel('Password', { exact: true }).fill(password)
  await page.getByLabel('Password again').fill(password)
  await page.getByRole('button', { name: 'Set the password and log in' }).click()
  await page.getByText('Add a second step').waitFor()
  assert.ok(!page.url().includes('#'), 'the secret is out of the address')
}

/** open gives a browser and a way to open it for a person; whatever a page complains of, but answers that say no, is gathered. */
export async function open(executablePath, patience = +(process.env.RINGWALL_PATIENCE ?? 90_000)) {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  const complaints = []
  const person = async (options = {}) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'en-US', ...options })
    context.setDefaultTimeout(patience)
    const page = await context.newPage()
    page.on('pageerror', e => complaints.push(String(e)))
    page.on('console', m => { if (m.type() === 'error' && !/status of 4\d\d|net::ERR_FAILED/.test(m.text())) complaints.push(m.text()) })
    return page
  }
  return { browser, person, complaints }
}

/** admin becomes the first admin by the link, sets up an authenticator app, and gives its secret. */
export async function admin(page, link) {
  await redeem(page, link, 'ann')
  await page.getByRole('button', { name: 'Set up' }).click()
  const secret = await page.locator('code.secret').innerText()
  await page.getByRole('img', { name: 'QR code of the secret' }).waitFor()
  await page.getByLabel('Code that the app shows').fill('000000')
  await page.getByRole('button', { name: 'Confirm' }).click()
  await page.getByText('the code is not of that secret').waitFor()
  await page.getByLabel('Code that the app shows').fill(totp(secret))
  await page.getByRole('button', { name: 'Confirm' }).click()
  await page.getByRole('heading', { name: 'Recovery codes' }).waitFor()
  assert.equal(await page.locator('.codes li').count(), 10)
  await page.getByRole('button', { name: 'I have kept them' }).click()
  await page.getByRole('button', { name: 'Done: to the overview' }).click()
  return secret
}

/** ask asks the API as the page would, from within it, and gives status and answer. */
export function ask(page, method, path, body) {
  return page.evaluate(async ([method, path, body]) => {
    const me = await (await fetch('/v1/me')).json()
    const res = await fetch(path, { method, headers: { 'Content-Type': 'application/json', 'X-Ringwall-CSRF': me.csrf }, ...(body ? { body: JSON.stringify(body) } : {}) })
    return { status: res.status, answer: await res.json() }
  }, [method, path, body])
}

/** enter has an admin invite somebody, who then comes in by the link. */
export async function enter(admin, page, url, name, role) {
  const made = await ask(admin, 'POST', '/v1/users', { name, role })
  assert.equal(made.status, 201, JSON.stringify(made.answer))
  await redeem(page, url + '/welcome#' + made.answer.url.split('#')[1])
}

/** viewer tries what a viewer may not. */
export async function viewer(page, incident) {
  const id = incident.split('/').at(-1)
  for (const [method, path, body] of [
    ['PATCH', `/v1/incidents/${id}`, { status: 'solved', version: 0 }], ['POST', `/v1/incidents/${id}/notes`, { text: 'x' }],
    ['POST', '/v1/off', undefined], ['POST', '/v1/actions/a-0/undo', undefined], ['POST', '/v1/users', { name: 'eve', role: 'admin' }], ['GET', '/v1/audit', undefined],
  ]) assert.equal((await ask(page, method, path, body)).status, 403, `${method} ${path}`)
}
