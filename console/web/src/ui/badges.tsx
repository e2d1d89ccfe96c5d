// SPDX-License-Identifier: Apache-2.0

// Small marks: severity, states, colours. Each says in words what its colour says.
import type { ReactNode } from 'react'
import { dictionary, useWords } from '../i18n'

export type Severity = 'critical' | 'high' | 'medium' | 'low'

const words = dictionary({
  critical: 'critical', high: 'high', medium: 'medium', low: 'low',
  score: 'probability that it is malicious: {p}',
  open: 'open', contained: 'contained', closed: 'closed',
  new: 'new', working: 'in work', solved: 'solved', ordinary: 'ordinary',
  ordered: 'ordered', shadowed: 'shadow only', done: 'done', verified: 'verified', refused: 'refused', failed: 'failed', undone: 'undone', expired: 'expired',
  on: 'on', degraded: 'degraded', off: 'off',
  black: 'black', grey: 'grey', white: 'white',
  observe: 'observe', shadow: 'shadow', enforce: 'enforce',
}, {
  critical: '严重', high: '高', medium: '中', low: '低',
  score: '为恶意的概率：{p}',
  open: '进行中', contained: '已遏制', closed: '已结束',
  new: '新', working: '处理中', solved: '已解决', ordinary: '正常行为',
  ordered: '已下令', shadowed: '仅影子', done: '已执行', verified: '已验证', refused: '被拒绝', failed: '失败', undone: '已撤销', expired: '已到期',
  on: '运行', degraded: '降级', off: '关闭',
  black: '黑', grey: '灰', white: '白',
  observe: '观察', shadow: '影子', enforce: '执行',
})

export type Tone = Severity | 'good' | 'plain' | 'accent'

/** Badge is a word with a tone. */
export function Badge({ tone = 'plain', children, title }: { tone?: Tone; children: ReactNode; title?: string }) {
  return <span className={`badge tone-${tone}`} title={title}>{children}</span>
}

/** SeverityBadge names the severity, as the API gives it, and the score it stands for. */
export function SeverityBadge({ of }: { of: { score: number; severity: Severity } }) {
  const t = useWords(words)
  return <Badge tone={of.severity} title={t('score', { p: of.score.toFixed(3) })}>{t(of.severity)} <span className="num">{of.score.toFixed(2)}</span></Badge>
}

const tones: Record<string, Tone> = {
  open: 'high', contained: 'accent', closed: 'plain',
  new: 'accent', working: 'medium', solved: 'good', ordinary: 'plain',
  ordered: 'accent', shadowed: 'plain', done: 'accent', verified: 'good', refused: 'high', failed: 'critical', undone: 'plain', expired: 'plain',
  on: 'good', degraded: 'medium', off: 'plain',
  black: 'high', grey: 'plain', white: 'good',
  observe: 'plain', shadow: 'accent', enforce: 'high',
}

/** State is any state of the API in words and colour: of incidents, actions, components, verdicts, policy. */
export function State({ of, title }: { of: string; title?: string }) {
  const t = useWords(words)
  return <Badge tone={tones[of] ?? 'plain'} title={title}>{of in words.en ? t(of as keyof typeof words.en) : of}</Badge>
}

/** useStateWords says a state without its badge, for choices. */
export function useStateWords(): (of: string) => string {
  const t = useWords(words)
  return of => of in words.en ? t(of as keyof typeof words.en) : of
}

/** Technique is an ATT&CK technique; no link, the console reaches no other network. */
export function Technique({ id }: { id: string }) { return <code className="technique" title="MITRE ATT&CK">{id}</code> }
