// SPDX-License-Identifier: Apache-2.0

// What this brain's API can do: a console may meet one that lacks an operation. A path is
// asked with OPTIONS, which every path refuses, naming the methods it knows (RFC 9110 §15.5.6).
import { useEffect, useState } from 'react'

const known = new Map<string, Promise<string[]>>()

function methods(path: string): Promise<string[]> {
  let asked = known.get(path)
  if (!asked) {
    asked = fetch(path, { method: 'OPTIONS', credentials: 'omit' }).then(res => res.status === 404 ? [] : (res.headers.get('Allow') ?? '').split(/,\s*/), () => { known.delete(path); return [] })
    known.set(path, asked)
  }
  return asked
}

/** useOffers says whether the API knows a method of a path; false until it has answered. */
export function useOffers(method: string, path: string): boolean {
  const [offers, set] = useState(false)
  useEffect(() => {
    let here = true
    void methods(path).then(m => { if (here) set(m.includes(method)) })
    return () => { here = false }
  }, [method, path])
  return offers
}
