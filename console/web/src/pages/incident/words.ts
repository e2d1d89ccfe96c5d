// SPDX-License-Identifier: Apache-2.0
import { dictionary, useWords } from '../../i18n'

/** Deeds as the graph names its edges, said of cause and effect. */
const deeds = dictionary({
  forked: 'forked', ran: 'ran', read: 'read', wrote: 'wrote', accepted: 'accepted', connected: 'connected', carried: 'carried', served: 'served', opened: 'opened',
  'logged in': 'logged in', began: 'began', executed: 'executed', traced: 'traced', held: 'held', 'led to': 'led to',
}, {
  forked: '派生', ran: '运行', read: '读取', wrote: '写入', accepted: '接受', connected: '连接', carried: '承载', served: '处理', opened: '打开',
  'logged in': '登录', began: '开始', executed: '执行', traced: '跟踪', held: '持有', 'led to': '导致',
})

/** useDeed says a deed of the graph. */
export function useDeed(): (deed: string) => string {
  const t = useWords(deeds)
  return deed => deed in deeds.en ? t(deed as keyof typeof deeds.en) : deed
}
