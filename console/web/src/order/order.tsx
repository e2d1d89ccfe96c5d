// SPDX-License-Identifier: Apache-2.0

// Giving an order: first the host says what it would touch, then a person says why and
// orders it, once, however often they click.
import { useState, type FormEvent } from 'react'
import { raw, type Schema } from '../api/client'
import { useAsk, useChange } from '../api/query'
import { dictionary, useWords } from '../i18n'
import { State } from '../ui/badges'
import { Dialog } from '../ui/dialog'
import { Choice, Field } from '../ui/form'
import { Loading, Trouble } from '../ui/state'
import { Line, Shown } from '../ui/text'
import { Time } from '../ui/time'
import { useActionWord, type Draft } from './kinds'

const words = dictionary({
  on: 'on', look: 'What it would touch', would: 'The host would', refused: 'It would be refused', unanswered: 'The host did not answer within five seconds. An order waits for it until it ends.',
  silent: 'No answer', standing: 'An action holds this already', reach: 'Reach', addresses: '{n} addresses', one: 'one address', machine: 'the whole network traffic of the host', process: 'this host',
  undo: 'Taking it back', whole: 'brings back what was', notWhole: 'does not bring back what was', until: 'Ends by itself', reason: 'Why', hint: 'For the record: it stands in the audit chain with your name.',
  life: 'How long', order: 'Order it', anyway: 'Order it all the same', ordered: 'Ordered. What comes of it appears beside the incident.', repeated: 'It had been ordered already; nothing was done twice.', close: 'Close',
  m15: '15 minutes', h1: '1 hour', h8: '8 hours', h24: '1 day', h168: '1 week',
}, {
  on: '于', look: '将会触及的内容', would: '主机将会', refused: '它会被拒绝', unanswered: '主机在五秒内未应答。命令会等待，直到其到期。',
  silent: '无应答', standing: '已有动作在生效', reach: '影响范围', addresses: '{n} 个地址', one: '一个地址', machine: '该主机的全部网络流量', process: '此主机',
  undo: '撤销', whole: '可完全恢复原状', notWhole: '不能完全恢复原状', until: '自动结束于', reason: '原因', hint: '用于记录：将与您的名字一起写入审计链。',
  life: '持续时间', order: '下令', anyway: '仍然下令', ordered: '已下令。结果将显示在事件旁。', repeated: '该命令此前已下达，没有重复执行。', close: '关闭',
  m15: '15 分钟', h1: '1 小时', h8: '8 小时', h24: '1 天', h168: '1 周',
})

/** OrderAnswer is what POST /v1/actions says of an order, or of a preview of one. */
export interface OrderAnswer {
  outcome: 'would' | 'refused' | 'unanswered' | 'ordered' | 'repeated'
  sentence: string
  would?: string
  refused?: string
  standing?: Schema['Action'] & { by?: string }
  reach: { hosts: number; address_bits?: number; whole_machine?: boolean }
  undo: { whole: boolean; sentence: string }
  until: string
  action?: Schema['Action']
}

/** path takes orders where the brain does; useOffers tells. */
export const path = '/v1/actions'

const ask = async (body: Draft & { for: string; preview?: boolean; reason?: string; key?: string }) => await (await raw('POST', path, { body })).json() as OrderAnswer

/** Order is the dialog of one order. */
export function Order({ draft, onClose, onOrdered }: { draft: Draft; onClose: () => void; onOrdered?: (a: Schema['Action'] | undefined) => void }) {
  const t = useWords(words)
  const kind = useActionWord()
  const [life, setLife] = useState('1h')
  const [reason, setReason] = useState('')
  const [key] = useState(() => Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(16).padStart(2, '0')).join(''))
  const look = useAsk(JSON.stringify([draft, life]), () => ask({ ...draft, for: life, preview: true }))
  const give = useChange(() => ask({ ...draft, for: life, reason: reason.trim(), key }))
  const [done, setDone] = useState<OrderAnswer>()
  const submit = async (e: FormEvent) => {
    e.preventDefault()
    const a = await give.run()
    if (!a) return
    setDone(a)
    onOrdered?.(a.action)
  }
  const p = look.data
  return (
    <Dialog title={kind(draft.kind)} onClose={onClose}>
      <p className="order-target">{draft.target && <><Shown text={draft.exe ? `${draft.exe} (${draft.target})` : draft.target} mono /> </>}<span className="muted">{t('on')}</span> <strong><Line text={draft.host} /></strong></p>
      {done
        ? <><p className="row">{done.action && <State of={done.action.state} />} {done.outcome === 'repeated' ? t('repeated') : t('ordered')}</p><button type="button" className="button primary" onClick={onClose}>{t('close')}</button></>
        : <form className="form" onSubmit={e => void submit(e)}>
          <Choice label={t('life')} value={life} onChange={e => setLife(e.target.value)} options={[{ value: '15m', label: t('m15') }, { value: '1h', label: t('h1') }, { value: '8h', label: t('h8') }, { value: '24h', label: t('h24') }, { value: '168h', label: t('h168') }]} />
          <section className="order-look" aria-label={t('look')} aria-live="polite">
            {look.error && <Trouble problem={look.error} retry={look.reload} />}
            {!p && !look.error && <Loading lines={2} />}
            {p && <Look of={p} />}
          </section>
          <Field label={t('reason')} hint={t('hint')} value={reason} onChange={e => setReason(e.target.value)} maxLength={1024} required autoFocus />
          {give.error && <Trouble problem={give.error} />}
          <button className={p?.outcome === 'refused' ? 'button' : 'button primary'} disabled={give.busy || !reason.trim()}>{p && p.outcome !== 'would' ? t('anyway') : t('order')}</button>
        </form>}
    </Dialog>
  )
}

function Look({ of: p }: { of: OrderAnswer }) {
  const t = useWords(words)
  const bits = p.reach.address_bits
  return (
    <dl className="facts">
      {p.outcome === 'would' && <div><dt>{t('would')}</dt><dd><Shown text={(p.would || p.sentence).replace(/^would /, '')} most={400} /></dd></div>}
      {p.outcome === 'refused' && <div className="order-refused"><dt>{t('refused')}</dt><dd><Shown text={p.refused ?? ''} most={400} /></dd></div>}
      {p.outcome === 'unanswered' && <div className="order-refused"><dt>{t('silent')}</dt><dd>{t('unanswered')}</dd></div>}
      {p.standing && <div className="order-refused"><dt>{t('standing')}</dt><dd><State of={p.standing.state} /> {p.standing.by && <Line text={p.standing.by} />} <Time at={p.standing.ordered} /></dd></div>}
      <div><dt>{t('reach')}</dt><dd>{p.reach.whole_machine ? t('machine') : bits === undefined ? t('process') : bits === 0 ? t('one') : t('addresses', { n: bits < 53 ? String(2 ** bits) : `2^${bits}` })}</dd></div>
      <div><dt>{t('undo')}</dt><dd>{p.undo.whole ? t('whole') : t('notWhole')}: <Shown text={p.undo.sentence} /></dd></div>
      <div><dt>{t('until')}</dt><dd><Time at={p.until} /></dd></div>
    </dl>
  )
}
