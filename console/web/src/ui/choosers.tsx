// SPDX-License-Identifier: Apache-2.0
import { dictionary, langs, setLang, useLang, useWords, type Lang } from '../i18n'
import { setTheme, useTheme, type Theme } from '../theme'
import { Icon } from './icons'

const words = dictionary({ language: 'Language', theme: 'Colours', system: 'as the system', light: 'light', dark: 'dark' },
  { language: '语言', theme: '配色', system: '跟随系统', light: '浅色', dark: '深色' })

/** Choosers are the switches of language and colours. */
export function Choosers() {
  const t = useWords(words)
  const lang = useLang()
  const theme = useTheme()
  return (
    <div className="choosers">
      <select aria-label={t('language')} value={lang} onChange={e => setLang(e.target.value as Lang)}>
        {Object.entries(langs).map(([code, name]) => <option key={code} value={code}>{name}</option>)}
      </select>
      <div className="segments" role="radiogroup" aria-label={t('theme')}>
        {([['system', 'half'], ['light', 'sun'], ['dark', 'moon']] as [Theme, string][]).map(([value, icon]) => (
          <button key={value} type="button" role="radio" aria-checked={theme === value} aria-label={t(value)} title={t(value)} onClick={() => setTheme(value)}><Icon name={icon} /></button>
        ))}
      </div>
    </div>
  )
}

/** Mark is the sign of the product: a ring with one gate. */
export function Mark() {
  return (
    <svg width="20" height="20" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d="M13.500 3.200A7.700 7.700 0 1 1 6.500 3.200" fill="none" stroke="currentColor" strokeWidth="2.400" strokeLinecap="round" />
      <circle cx="10" cy="10" r="2.600" fill="currentColor" />
    </svg>
  )
}
