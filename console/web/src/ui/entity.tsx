// SPDX-License-Identifier: Apache-2.0
import type { Schema } from '../api/client'
import { dictionary, useWords } from '../i18n'
import { Link } from '../router'
import { Icon, iconOf } from './icons'
import { Line, Shown } from './text'
import { plainText } from './visible'

export const kindWords = dictionary({
  host: 'host', process: 'process', file: 'file', flow: 'connection', request: 'request', address: 'address', domain: 'domain', url: 'URL',
  content: 'content', fingerprint: 'fingerprint', user: 'user', login: 'log-in', container: 'container', pipe: 'pipe', socket: 'socket', service: 'service', certificate: 'certificate',
}, {
  host: '主机', process: '进程', file: '文件', flow: '连接', request: '请求', address: '地址', domain: '域名', url: 'URL',
  content: '内容', fingerprint: '指纹', user: '用户', login: '登录', container: '容器', pipe: '管道', socket: '套接字', service: '服务', certificate: '证书',
})

const manyWords = dictionary({
  host: 'hosts', process: 'processes', file: 'files', flow: 'connections', request: 'requests', address: 'addresses', domain: 'domains', url: 'URLs',
  content: 'contents', fingerprint: 'fingerprints', user: 'users', login: 'log-ins', container: 'containers', pipe: 'pipes', socket: 'sockets', service: 'services', certificate: 'certificates',
}, {
  host: '台主机', process: '个进程', file: '个文件', flow: '个连接', request: '个请求', address: '个地址', domain: '个域名', url: '个 URL',
  content: '项内容', fingerprint: '个指纹', user: '个用户', login: '次登录', container: '个容器', pipe: '个管道', socket: '个套接字', service: '个服务', certificate: '个证书',
})

/** useManyWord names several of a kind, behind their number. */
export function useManyWord(): (kind: string) => string {
  const t = useWords(manyWords)
  return kind => kind in manyWords.en ? t(kind as keyof typeof manyWords.en) : kind
}

/** useKindWord names a kind of entity. */
export function useKindWord(): (kind: string) => string {
  const t = useWords(kindWords)
  return kind => kind in kindWords.en ? t(kind as keyof typeof kindWords.en) : kind
}

/** askable is the value of an entity that intelligence can be asked for; null: none. */
export function askable(e: Schema['Entity']): string | null {
  switch (e.kind) {
    case 'address': case 'domain': case 'url': case 'content': case 'fingerprint': return e.text || null
    case 'file': return e.file?.sha256 || null
    case 'flow': return e.flow?.src_ip || null
    case 'request': return e.request?.flow?.src_ip || null
  }
  return null
}

/** EntityLine is an entity on one line: its kind as an icon, its label harmless. */
export function EntityLine({ entity: e, wrap }: { entity: Schema['Entity']; wrap?: boolean }) {
  const kind = useKindWord()
  return (
    <span className="entity">
      <span className="entity-icon" title={kind(e.kind)}><Icon name={iconOf(e.kind)} /><span className="sr-only">{kind(e.kind)}</span></span>
      {wrap ? <Shown text={e.label} mono /> : <Line text={e.label} mono />}
    </span>
  )
}

/** HostLink leads to a host's page. */
export function HostLink({ host }: { host: string }) {
  return host ? <Link to={`/hosts/${encodeURIComponent(host)}`} className="host"><Line text={host} /></Link> : <span className="muted">–</span>
}

/** Hosts lists some hosts and counts the rest. */
export function Hosts({ hosts, most = 2 }: { hosts: readonly string[] | null | undefined; most?: number }) {
  const all = hosts ?? []
  return <span className="hosts">{all.slice(0, most).map(h => <HostLink key={h} host={h} />)}{all.length > most && <span className="muted" title={plainText(all.slice(most).join(', '))}>+{all.length - most}</span>}</span>
}
