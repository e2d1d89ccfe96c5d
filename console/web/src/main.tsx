// SPDX-License-Identifier: Apache-2.0
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app'
import { startLang } from './i18n'
import './style/main.css'
import { routeOf } from './routes'
import { startTheme } from './theme'

startTheme()
startLang()
void routeOf(location.pathname)?.route.load().catch(() => undefined) // while it is asked who sits here
const root = document.getElementById('root')
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>)
