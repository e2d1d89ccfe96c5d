// SPDX-License-Identifier: Apache-2.0

// The list of every page: filters, order and place stand in the address, so that a view
// can be sent to someone; pages go by the API's cursors, so that it is as quick at ten
// thousand rows as at ten.
import { useEffect, useId, useRef, useState, type ReactNode } from 'react'
import type { paths } from '../api/schema'
import type { Answer, PathsOf, Problem, Query } from '../api/client'
import { useGet } from '../api/query'
import { dictionary, useWords } from '../i18n'
import { useKeys } from '../keys'
import { go, setQuery, useSearch } from '../router'
import { Icon } from './icons'
import { Empty, Loading, Trouble } from './state'

const words = dictionary({
  filter: 'Filter',
  any: 'any',
  clear: 'Clear filters',
  none: 'Nothing matches these filters.',
  noneHelp: 'Clear a filter, or widen the time.',
  next: 'Next page',
  previous: 'Previous page',
  first: 'First page',
  rows: 'On this page: {n}',
  sortBy: 'Sort by {what}',
  order: 'Order',
  desc: 'descending', asc: 'ascending',
  reload: 'Load again',
  fresh: 'new rows: show them', act: 'Act',
}, {
  filter: '筛选',
  any: '任意',
  clear: '清除筛选',
  none: '没有符合筛选条件的内容。',
  noneHelp: '请清除某个筛选条件，或放宽时间范围。',
  next: '下一页',
  previous: '上一页',
  first: '第一页',
  rows: '本页：{n} 行',
  sortBy: '按{what}排序',
  order: '顺序',
  desc: '降序', asc: '升序',
  reload: '重新载入',
  fresh: '有新内容：显示', act: '操作',
})

/** Column is one column of a list. */
export interface Column<T> {
  name: string
  head: string
  cell: (row: T) => ReactNode
  /** sort is the API's word for the order by this column. */
  sort?: string
  /** kind narrows the column: num aligns right, grow takes what is left. */
  kind?: 'num' | 'grow' | 'narrow'
}

/** Filter is one thing to filter by; its name is the API's query parameter. */
export type Filter =
  | { name: string; label: string; kind: 'text'; placeholder?: string }
  | { name: string; label: string; kind: 'choice'; options: readonly { value: string; label: string }[] }
  | { name: string; label: string; kind: 'time' }
  | { name: string; label: string; kind: 'flag' }

type Paged = { [P in PathsOf<'get'>]: Answer<P, 'get'> extends { items: unknown } ? P : never }[PathsOf<'get'>]
type Row<P extends Paged & keyof paths> = Answer<P, 'get'> extends { items: (infer T)[] | null } ? T : never

export interface ListProps<P extends Paged & keyof paths> {
  path: P
  /** always is asked with every page, and stands not in the address. */
  always?: Partial<Query<P, 'get'>>
  filters?: readonly Filter[]
  columns: readonly Column<Row<P>>[]
  keyOf: (row: Row<P>) => string
  /** to is where a row leads. */
  to?: (row: Row<P>) => string
  /** empty is shown when there is nothing at all, without any filter. */
  empty: ReactNode
  label: string
  limit?: number
  /** defaultSort is the API's own, for the arrow. */
  defaultSort?: string
  /** stale: something changed since the page was asked; the list offers to load it. */
  stale?: number
}

/** List shows a paged operation of the API. */
export function List<P extends Paged & keyof paths>(props: ListProps<P>) {
  const t = useWords(words)
  const q = useSearch()
  const filters = props.filters ?? []
  const set = filters.filter(f => q.get(f.name))
  const query: Record<string, unknown> = { limit: props.limit ?? 50, ...props.always }
  for (const f of set) query[f.name] = f.kind === 'time' ? moment(q.get(f.name) ?? '') : q.get(f.name)
  for (const name of ['sort', 'order', 'after']) if (q.get(name)) query[name] = q.get(name)
  const page = useGet(props.path, { query: query as Partial<Query<P, 'get'>> })
  const shown = (page.data ?? page.last) as { items: Row<P>[] | null; next?: string } | undefined
  const rows = shown?.items ?? []
  const place = (history.state as { page?: number } | null)?.page ?? (q.get('after') ? 2 : 1)

  const stale = useRef(props.stale)
  const [waiting, setWaiting] = useState(false)
  useEffect(() => {
    if (props.stale === stale.current) return
    stale.current = props.stale
    // The first page follows by itself; on later ones rows must not move under the eyes.
    if (q.get('after')) setWaiting(true)
    else page.reload()
  })

  return (
    <section className="list" aria-label={props.label}>
      {filters.length > 0 && <Filters filters={filters} set={set.length} />}
      {page.error && <Trouble problem={page.error as Problem} retry={page.reload} />}
      {!shown && page.loading && <Loading lines={8} />}
      {shown && rows.length === 0 && (set.length > 0 || q.get('after')
        ? <Empty title={t('none')}>{t('noneHelp')} <button type="button" className="text-button" onClick={() => clearAll(filters)}>{t('clear')}</button></Empty>
        : props.empty)}
      {rows.length > 0 && <Table label={props.label} columns={props.columns} rows={rows} keyOf={props.keyOf} to={props.to} busy={page.loading && !page.data}
        sort={q.get('sort') ?? props.defaultSort} order={q.get('order') ?? 'desc'}
        onSort={sort => setQuery({ after: null, sort, order: sort === (q.get('sort') ?? props.defaultSort) && q.get('order') !== 'asc' ? 'asc' : null })} />}
      {shown && (rows.length > 0 || place > 1) && (
        <nav className="pager" aria-label={props.label}>
          <span className="muted">{t('rows', { n: rows.length })}</span>
          {waiting && <button type="button" className="text-button" onClick={() => { setWaiting(false); setQuery({ after: null }) }}>{t('fresh')}</button>}
          <span className="grow" />
          <button type="button" className="button quiet" onClick={page.reload}>{t('reload')}</button>
          {place > 1 && <button type="button" className="button quiet" onClick={() => setQuery({ after: null })}>{t('first')}</button>}
          {place > 1 && history.state !== null && <button type="button" className="button" onClick={() => history.back()}><Icon name="left" /> {t('previous')}</button>}
          <button type="button" className="button" disabled={!shown.next} onClick={() => { setQuery({ after: shown.next ?? null }, { state: { page: place + 1 } }); scrollTo({ top: 0 }) }}>{t('next')} <Icon name="right" /></button>
        </nav>
      )}
    </section>
  )
}

/** moment turns what an input of local time holds, or a length such as 24h, into RFC 3339. */
export function moment(value: string, now = Date.now()): string | undefined {
  const back = /^(\d+)([mhd])$/.exec(value)
  if (back) return new Date(now - Number(back[1]) * { m: 60_000, h: 3_600_000, d: 86_400_000 }[back[2] as 'm' | 'h' | 'd']).toISOString()
  const at = new Date(value)
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString()
}

function clearAll(filters: readonly Filter[]) {
  setQuery(Object.fromEntries([...filters.map(f => [f.name, null]), ['after', null]]) as Record<string, null>)
}

function Filters({ filters, set }: { filters: readonly Filter[]; set: number }) {
  const t = useWords(words)
  const first = useRef<HTMLDivElement>(null)
  useKeys({ '/': () => first.current?.querySelector<HTMLElement>('input, select')?.focus() })
  return (
    <div className="filters" role="search" aria-label={t('filter')} ref={first}>
      {filters.map(f => <FilterInput key={f.name} filter={f} any={t('any')} />)}
      {set > 0 && <button type="button" className="button quiet" onClick={() => clearAll(filters)}>{t('clear')}</button>}
    </div>
  )
}

function FilterInput({ filter: f, any }: { filter: Filter; any: string }) {
  const q = useSearch()
  const id = useId()
  const now = q.get(f.name) ?? ''
  const [typed, type] = useState(now)
  useEffect(() => type(now), [now])
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const put = (value: string) => setQuery({ [f.name]: value, after: null }, { replace: true })
  useEffect(() => () => clearTimeout(timer.current), [])
  if (f.kind === 'flag') {
    return <label className="filter flag"><input type="checkbox" checked={now === 'true'} onChange={e => put(e.target.checked ? 'true' : '')} /> {f.label}</label>
  }
  return (
    <div className="filter">
      <label htmlFor={id}>{f.label}</label>
      {f.kind === 'choice' && <select id={id} value={now} onChange={e => put(e.target.value)}><option value="">{any}</option>{f.options.map(o => <option key={o.value} value={o.value}>{o.label}</option>)}</select>}
      {f.kind === 'time' && <input id={id} type="datetime-local" value={typed} onChange={e => { type(e.target.value); put(e.target.value) }} />}
      {f.kind === 'text' && <input id={id} type="search" value={typed} placeholder={f.placeholder} spellCheck={false} autoComplete="off" onChange={e => {
        const value = e.target.value
        type(value)
        clearTimeout(timer.current)
        timer.current = setTimeout(() => put(value.trim()), 250)
      }} onKeyDown={e => { if (e.key === 'Escape') e.currentTarget.blur() }} />}
    </div>
  )
}

/** Table is the rows of a List, and of answers that are not paged. j, k and Enter walk it. */
export function Table<T>({ label, columns, rows, keyOf, to, sort, order, onSort, busy }: {
  label: string; columns: readonly Column<T>[]; rows: readonly T[]; keyOf: (row: T) => string; to?: (row: T) => string
  sort?: string; order?: string; onSort?: (sort: string) => void; busy?: boolean
}) {
  const t = useWords(words)
  const body = useRef<HTMLTableSectionElement>(null)
  const walk = (by: number) => {
    const all = [...body.current?.querySelectorAll<HTMLElement>('tr[tabindex]') ?? []]
    const at = all.findIndex(r => r.contains(document.activeElement))
    all[Math.max(0, Math.min(all.length - 1, at + by))]?.focus()
  }
  useKeys({ j: () => walk(1), k: () => walk(-1) })
  return (
    <div className="table-wrap" aria-busy={busy}>
      <table className={busy ? 'table busy' : 'table'}>
        <caption className="sr-only">{label}</caption>
        <thead>
          <tr>{columns.map(c => (
            <th key={c.name} scope="col" className={c.kind} aria-sort={c.sort && c.sort === sort ? (order === 'asc' ? 'ascending' : 'descending') : undefined}>
              {!c.head && <span className="sr-only">{t('act')}</span>}
              {c.sort && onSort
                ? <button type="button" className="sort" onClick={() => onSort(c.sort as string)} title={t('sortBy', { what: c.head })}>{c.head}{c.sort === sort && <Icon name={order === 'asc' ? 'up' : 'down'} size={12} />}</button>
                : c.head}
            </th>
          ))}</tr>
        </thead>
        <tbody ref={body}>
          {rows.map(row => {
            const at = to?.(row)
            return (
              <tr key={keyOf(row)} tabIndex={at ? 0 : undefined} className={at ? 'leads' : undefined}
                onClick={at ? e => { if (!(e.target as HTMLElement).closest('a, button, input, select') && !getSelection()?.toString()) open(at, e) } : undefined}
                onKeyDown={at ? e => { if (e.key === 'Enter' && e.target === e.currentTarget) go(at) } : undefined}>
                {columns.map(c => <td key={c.name} className={c.kind} data-label={c.head}>{c.cell(row)}</td>)}
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}

function open(at: string, e: { metaKey: boolean; ctrlKey: boolean }) {
  if (e.metaKey || e.ctrlKey) window.open(at, '_blank', 'noopener')
  else go(at)
}
