// SPDX-License-Identifier: Apache-2.0
import type { ReactNode } from 'react'
import { Choosers, Mark } from '../ui/choosers'

/** Door is the frame of everything before the log-in. */
export function Door({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className="door">
      <div className="door-panel">
        <p className="door-mark"><Mark /> Ringwall</p>
        <h1>{title}</h1>
        {children}
      </div>
      <Choosers />
    </main>
  )
}
