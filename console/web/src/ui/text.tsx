// SPDX-License-Identifier: Apache-2.0
import { useState } from 'react'
import { count, dictionary, useWords } from '../i18n'
import { clip, plainText, visible } from './visible'

const words = dictionary({
  more: '+{n} characters',
  less: 'less',
  hidden: 'a character that cannot be shown: {code}',
}, {
  more: '还有 {n} 个字符',
  less: '收起',
  hidden: '无法显示的字符：{code}',
})

/** Shown is text of anyone, made harmless; most: characters at first, the rest on demand; lines: line breaks are breaks, as people write them. */
export function Shown({ text, most = 160, mono, lines }: { text: string; most?: number; mono?: boolean; lines?: boolean }) {
  const t = useWords(words)
  const [open, setOpen] = useState(false)
  const { head, left } = open ? { head: text, left: 0 } : clip(text, most)
  return (
    <bdi className={mono ? 'shown mono' : 'shown'}>
      {visible(head).map((p, i) => p.mark && lines && p.text === '\\n' ? <br key={i} /> : p.mark
        ? <span key={i} className="mark" title={t('hidden', { code: p.text })}>{p.text}</span>
        : <span key={i}>{p.text}</span>)}
      {left > 0 && <>… <button type="button" className="text-button" onClick={e => { e.stopPropagation(); setOpen(true) }}>{t('more', { n: count(left) })}</button></>}
      {open && text.length > most && <> <button type="button" className="text-button" onClick={e => { e.stopPropagation(); setOpen(false) }}>{t('less')}</button></>}
    </bdi>
  )
}

/** Line is text of anyone on one line; what does not fit is cut by the page and stands in its title. */
export function Line({ text, mono, most = 400 }: { text: string; mono?: boolean; most?: number }) {
  const { head, left } = clip(text, most)
  return (
    <bdi className={mono ? 'line mono' : 'line'} title={plainText(clip(text, 1000).head)}>
      {visible(head).map((p, i) => p.mark ? <span key={i} className="mark">{p.text}</span> : <span key={i}>{p.text}</span>)}
      {left > 0 && '…'}
    </bdi>
  )
}
