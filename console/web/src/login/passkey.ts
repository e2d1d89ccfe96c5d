// SPDX-License-Identifier: Apache-2.0
import { startAuthentication, startRegistration, browserSupportsWebAuthn } from '@simplewebauthn/browser'
import { api, Problem, type Schema } from '../api/client'

type Options<F extends (o: never) => unknown> = F extends (o: { optionsJSON: infer O }) => unknown ? O : never

/** passkeysHere: this browser has them, and the console is asked for by a name (addresses cannot have any). */
export function passkeysHere(): boolean {
  return browserSupportsWebAuthn() && !/^[\d.]+$|^\[/.test(location.hostname)
}

/** The options stand below publicKey, as navigator.credentials takes them. */
function options<O>(offer: Schema['Offer']): O { return (offer.options as { publicKey: O }).publicKey }

async function ceremony<T>(run: () => Promise<T>): Promise<T> {
  try { return await run() } catch (e) { throw new Problem(0, 'cancelled', e instanceof Error ? e.message : '') }
}

/** logInByPasskey begins and ends a log-in by passkey. */
export async function logInByPasskey(): Promise<Schema['Welcome']> {
  const offer = await api.post('/v1/login/passkey')
  const credential = await ceremony(() => startAuthentication({ optionsJSON: options<Options<typeof startAuthentication>>(offer) }))
  return api.post('/v1/login/passkey/finish', { body: { credential } })
}

/** addPasskey registers one under a label. */
export async function addPasskey(label: string): Promise<Schema['Renewed']> {
  const offer = await api.post('/v1/me/passkeys')
  const credential = await ceremony(() => startRegistration({ optionsJSON: options<Options<typeof startRegistration>>(offer) }))
  return api.post('/v1/me/passkeys/finish', { body: { label, credential } })
}
