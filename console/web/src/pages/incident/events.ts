// SPDX-License-Identifier: Apache-2.0

// From the ids of events to what the archive recorded of them, by a hunt.
import { Problem } from '../../api/client'

const most = 50 // events of one question

/** quoted is text as a literal of SQL. */
export function quoted(text: string): string { return `'${text.replaceAll("'", "''")}'` }

/** eventsSQL asks for events by their ids (tenant/host/epoch/seq; a host's name may hold anything but a slash). */
export function eventsSQL(ids: readonly string[]): string {
  const wanted = ids.slice(0, most).flatMap(id => {
    const m = /^[^/]*\/(.+)\/(\d+)\/(\d+)$/.exec(id)
    return m ? [`(host = ${quoted(m[1] as string)} AND epoch = ${m[2]} AND seq = ${m[3]})`] : []
  })
  return `SELECT * FROM events WHERE ${wanted.length > 0 ? wanted.join(' OR ') : 'false'} ORDER BY time_ns LIMIT ${most}`
}

/** rowsOf reads the lines of a hunt: an array a row, and the columns at the end. What is empty is left out. */
export function rowsOf(lines: string): Record<string, string>[] {
  const rows: unknown[][] = []
  let columns: string[] = []
  for (const line of lines.split('\n')) {
    if (!line) continue
    const it = JSON.parse(line) as unknown
    if (Array.isArray(it)) { rows.push(it); continue }
    const end = it as { end?: { columns: string[] }; error?: string }
    if (end.error) throw new Problem(400, 'hunt', end.error)
    columns = end.end?.columns ?? columns
  }
  return rows.map(r => Object.fromEntries(r.flatMap((v, i) => v === null || v === '' || columns[i] === 'event' ? [] : [[columns[i] ?? String(i), typeof v === 'object' ? JSON.stringify(v) : String(v)]])))
}
