// SPDX-License-Identifier: Apache-2.0
import { useEffect, useId, useRef, type ReactNode } from 'react'
import { dictionary, useWords } from '../i18n'
import { Icon } from './icons'

const words = dictionary({ close: 'Close' }, { close: '关闭' })

/** Dialog stands above the page, holds the focus, and ends by Escape or its cross. */
export function Dialog({ title, onClose, children, wide }: { title: string; onClose: () => void; children: ReactNode; wide?: boolean }) {
  const t = useWords(words)
  const ref = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const d = ref.current
    d?.showModal()
    return () => d?.close()
  }, [])
  return (
    <dialog ref={ref} className={wide ? 'dialog wide' : 'dialog'} aria-labelledby={id} onCancel={e => { e.preventDefault(); onClose() }} onKeyDown={e => e.stopPropagation()}>
      <header className="dialog-head">
        <h2 id={id}>{title}</h2>
        <button type="button" className="icon-button" onClick={onClose} aria-label={t('close')}><Icon name="close" /></button>
      </header>
      <div className="dialog-body">{children}</div>
    </dialog>
  )
}
