// SPDX-License-Identifier: Apache-2.0

// The only way to the API. Types come from docs/openapi.yaml; a change carries the
// session's CSRF value; problems (RFC 9457) become errors that a person can read.
import type { components, paths } from './schema'

export type Schema = components['schemas']
type Method = 'get' | 'post' | 'patch' | 'put' | 'delete'

/** PathsOf are the paths that know a method. */
export type PathsOf<M extends Method> = { [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never }[keyof paths]

type Op<P extends keyof paths, M extends Method> = paths[P] extends Record<M, infer O> ? O : never
type Part<O, Name extends 'query' | 'path'> = O extends { parameters: infer A } ? Name extends keyof A ? NonNullable<A[Name]> : never : never
type BodyOf<O> = O extends { requestBody?: infer B } ? NonNullable<B> extends { content: { 'application/json': infer J } } ? J : never : never
type Good<R> = { [S in keyof R]: S extends 200 | 201 | 202 ? R[S] extends { content: { 'application/json': infer J } } ? J : never : never }[keyof R]

export type Answer<P extends keyof paths, M extends Method> = Op<P, M> extends { responses: infer R } ? Good<R> : never
export type Query<P extends keyof paths, M extends Method> = Part<Op<P, M>, 'query'>

export interface Ask<P extends keyof paths, M extends Method> {
  path?: Part<Op<P, M>, 'path'>
  query?: Partial<Query<P, M>>
  body?: BodyOf<Op<P, M>>
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** Problem is an answer that says no, or no answer at all (status 0). */
export class Problem extends Error {
  constructor(readonly status: number, readonly title: string, detail: string, readonly type = '', readonly fields: { where: string; what: string }[] = [], readonly retryAfter = 0) {
    super(detail || title)
  }
}

/** stale is the type of the problem that asks a person to prove anew who they are. */
export const stale = 'urn:ringwall:stale'

let csrf = ''
let lost: () => void = () => {}
let proveAgain: () => Promise<boolean> = () => Promise.resolve(false)

export function setCSRF(value: string | undefined) { csrf = value ?? '' }

/** onLost is called when the session has ended. */
export function onLost(f: () => void) { lost = f }

/** onStale is asked to have a person prove who they are; true: the request is repeated. */
export function onStale(f: () => Promise<boolean>) { proveAgain = f }

/** address fills a path's places and adds the query; lists repeat with commas. */
export function address(path: string, places: Record<string, unknown> = {}, query: Record<string, unknown> = {}): string {
  const at = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(places[name] ?? '')))
  const q = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') q.set(name, Array.isArray(value) ? value.join(',') : String(value))
  }
  const text = q.toString()
  return text ? at + '?' + text : at
}

async function send(method: string, at: string, ask: { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal }): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json', ...ask.headers }
  if (method !== 'GET') headers['X-Ringwall-CSRF'] = csrf
  if (ask.body !== undefined) headers['Content-Type'] = 'application/json'
  try {
    return await fetch(at, { method, headers, body: ask.body === undefined ? null : JSON.stringify(ask.body), signal: ask.signal ?? null, credentials: 'same-origin', cache: 'no-store' })
  } catch (e) {
    if (e instanceof DOMException && e.name === 'AbortError') throw e
    throw new Problem(0, 'no answer', '')
  }
}

async function problem(res: Response): Promise<Problem> {
  let p: { title?: string; detail?: string; type?: string; errors?: { location?: string; message?: string }[] | null } = {}
  try { p = await res.json() as typeof p } catch { /* a proxy's own page */ }
  const fields = (p.errors ?? []).map(e => ({ where: e.location ?? '', what: e.message ?? '' }))
  return new Problem(res.status, p.title ?? res.statusText, p.detail ?? '', p.type ?? '', fields, Number(res.headers.get('Retry-After') ?? 0))
}

/** raw asks and gives the answer as it came, when it is a good one. */
export async function raw(method: string, at: string, ask: { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal } = {}): Promise<Response> {
  for (let again = true; ; again = false) {
    const res = await send(method, at, ask)
    if (res.ok) return res
    const p = await problem(res)
    if (p.status === 401 && !at.startsWith('/v1/login') && !at.startsWith('/v1/links') && !at.startsWith('/v1/me/')) lost()
    if (p.type === stale && again && await proveAgain()) continue
    throw p
  }
}

async function call<P extends keyof paths, M extends Method>(method: M, path: P, ask: Ask<P, M> = {}): Promise<Answer<P, M>> {
  const at = address(path, ask.path as Record<string, unknown>, ask.query as Record<string, unknown>)
  const res = await raw(method.toUpperCase(), at, ask)
  return await res.json() as Answer<P, M>
}

/** api asks an operation by its path, typed by the document. */
export const api = {
  get: <P extends PathsOf<'get'>>(path: P, ask?: Ask<P, 'get'>) => call('get', path, ask),
  post: <P extends PathsOf<'post'>>(path: P, ask?: Ask<P, 'post'>) => call('post', path, ask),
  patch: <P extends PathsOf<'patch'>>(path: P, ask?: Ask<P, 'patch'>) => call('patch', path, ask),
  put: <P extends PathsOf<'put'>>(path: P, ask?: Ask<P, 'put'>) => call('put', path, ask),
  delete: <P extends PathsOf<'delete'>>(path: P, ask?: Ask<P, 'delete'>) => call('delete', path, ask),
}
