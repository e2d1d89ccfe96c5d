// SPDX-License-Identifier: Apache-2.0
import { useId, type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes } from 'react'

/** Field is an input with its label; hint and error are read out with it. */
export function Field({ label, hint, ...rest }: { label: string; hint?: ReactNode } & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} aria-describedby={hint ? id + 'h' : undefined} {...rest} />
      {hint && <p id={id + 'h'} className="hint">{hint}</p>}
    </div>
  )
}

/** Choice is a select with its label. */
export function Choice({ label, options, ...rest }: { label: string; options: readonly { value: string; label: string }[] } & SelectHTMLAttributes<HTMLSelectElement>) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} {...rest}>{options.map(o => <option key={o.value} value={o.value}>{o.label}</option>)}</select>
    </div>
  )
}
