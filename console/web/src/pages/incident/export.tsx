// SPDX-License-Identifier: Apache-2.0
import { useOffers } from '../../api/offers'
import { dictionary, useWords } from '../../i18n'

const words = dictionary({ export: 'Export', html: 'Report' }, { export: '导出', html: '报告' })

/** Export links to what the API makes of an incident for others; nothing where it makes none. */
export function Export({ id }: { id: string }) {
  const t = useWords(words)
  const at = `/v1/incidents/${encodeURIComponent(id)}/export`
  if (!useOffers('GET', at)) return null
  return (
    <div className="row" role="group" aria-label={t('export')}>
      <a className="button" href={`${at}?format=html`} target="_blank" rel="noreferrer">{t('html')}</a>
      <a className="button" href={`${at}?format=json`} download={`${id}.json`}>JSON</a>
      <a className="button" href={`${at}?format=stix`} download={`${id}.stix.json`}>STIX</a>
    </div>
  )
}
