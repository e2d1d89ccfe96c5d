// SPDX-License-Identifier: Apache-2.0

// What can be done to what. A draft is an order that lacks only its reason.
import type { Schema } from '../api/client'
import { dictionary, useWords } from '../i18n'

export type Kind = 'block_address' | 'cut_connection' | 'kill_tree' | 'quarantine_file' | 'isolate_host'

export interface Draft {
  kind: Kind
  host: string
  target?: string
  exe?: string
  sha256?: string
  incident?: string
}

const words = dictionary({
  block_address: 'block address', cut_connection: 'cut connections', kill_tree: 'kill process tree', quarantine_file: 'quarantine file', isolate_host: 'isolate host',
}, {
  block_address: '封锁地址', cut_connection: '切断连接', kill_tree: '终止进程树', quarantine_file: '隔离文件', isolate_host: '隔离主机',
})

/** useActionWord names a kind of action. */
export function useActionWord(): (kind: string) => string {
  const t = useWords(words)
  return kind => kind in words.en ? t(kind as keyof typeof words.en) : kind.replaceAll('_', ' ')
}

/** addressOf takes the port off HOST:PORT, and the brackets of IPv6. */
export function addressOf(end: string): string {
  return end.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
}

type Node = Pick<Schema['PictureNode'], 'kind' | 'host' | 'label' | 'facts' | 'target'>

/** draftsFor lists what can be ordered against an entity of the attack graph. */
export function draftsFor(n: Node, incident?: string): Draft[] {
  const f = n.facts ?? {}
  const on = { host: n.host, incident }
  const peers = (ends: (string | undefined)[]) => [...new Set(ends.flatMap(e => e ? [addressOf(e)] : []))].flatMap(target => [{ ...on, kind: 'block_address' as const, target }, { ...on, kind: 'cut_connection' as const, target }])
  switch (n.kind) {
    case 'process': return n.target ? [{ ...on, kind: 'kill_tree', target: n.target, exe: f.exe }] : []
    case 'file': return n.target ? [{ ...on, kind: 'quarantine_file', target: n.target, sha256: /^[0-9a-f]{64}$/.test(f.sha256 ?? '') ? f.sha256 : undefined }] : []
    case 'request': return peers([f.client])
    case 'flow': return peers([f.to, f.from])
    case 'address': return peers([f.name ?? n.label])
  }
  return []
}
