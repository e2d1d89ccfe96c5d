// SPDX-License-Identifier: Apache-2.0

// Where a single sign-on sends the browser back to. It comes from another site, so our
// strict cookies are not with that first request; this page's own one has them.
import { useEffect, useRef } from 'react'
import { api, type Schema } from '../api/client'
import { useChange } from '../api/query'
import { dictionary, useWords } from '../i18n'
import { go } from '../router'
import { Loading } from '../ui/state'
import { Door } from './door'
import { wasAt } from './login'
import { LoginTrouble } from './trouble'

const words = dictionary({ title: 'Single sign-on', back: 'To the log-in' }, { title: '单点登录', back: '前往登录' })

export function OIDCBack({ enter }: { enter: (me: Schema['Me']) => void }) {
  const t = useWords(words)
  const once = useRef(false)
  const finish = useChange(async () => {
    const q = new URLSearchParams(location.search)
    const part = (name: string) => q.get(name) ?? undefined
    const body = { state: q.get('state') ?? '', code: part('code'), iss: part('iss'), error: part('error') }
    history.replaceState(null, '', location.pathname) // the code shall not stay in the history
    return api.post('/v1/login/oidc/finish', { body })
  })
  useEffect(() => {
    if (once.current) return
    once.current = true
    void finish.run().then(w => {
      if (!w?.me) return
      const to = sessionStorage.getItem(wasAt) ?? '/'
      sessionStorage.removeItem(wasAt)
      go(to.startsWith('/') && !to.startsWith('//') ? to : '/', { replace: true })
      enter(w.me)
    })
  })
  return (
    <Door title={t('title')}>
      {finish.error ? <><LoginTrouble problem={finish.error} /><button type="button" className="button" onClick={() => go('/', { replace: true })}>{t('back')}</button></> : <Loading />}
    </Door>
  )
}
