// SPDX-License-Identifier: Apache-2.0
import { useEffect, type ReactNode } from 'react'

/** Page is the frame of one: its title, which is also the browser's, what is done from it, and its content. */
export function Page({ title, name, actions, children }: { title: ReactNode; name: string; actions?: ReactNode; children: ReactNode }) {
  useEffect(() => { document.title = `${name} · Ringwall` }, [name])
  return (
    <>
      <header className="page-head"><h1>{title}</h1>{actions && <div className="page-actions">{actions}</div>}</header>
      {children}
    </>
  )
}

/** Panel is one part of a page. */
export function Panel({ title, actions, children, className }: { title: string; actions?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={className ? 'panel ' + className : 'panel'} aria-label={title}>
      <header className="panel-head"><h2>{title}</h2>{actions}</header>
      <div className="panel-body">{children}</div>
    </section>
  )
}
