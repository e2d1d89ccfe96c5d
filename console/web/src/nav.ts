// SPDX-License-Identifier: Apache-2.0

// The navigation: what stands in it, in which group, and under which keys. An entry shows
// once routes.ts has a page for its path.
import { dictionary } from './i18n'

export const navWords = dictionary({
  overview: 'Overview', incidents: 'Incidents', findings: 'Findings', hosts: 'Hosts', hunt: 'Hunt',
  files: 'Files', network: 'Network', intel: 'Intel', rules: 'Rules', response: 'Response', agents: 'Agents', settings: 'Settings', account: 'My account',
  investigate: 'Investigate', layers: 'Layers', answer: 'Answer', manage: 'Manage',
}, {
  overview: '总览', incidents: '事件', findings: '发现', hosts: '主机', hunt: '狩猎',
  files: '文件', network: '网络', intel: '情报', rules: '规则', response: '响应', agents: '代理', settings: '设置', account: '我的账户',
  investigate: '调查', layers: '防护层', answer: '处置', manage: '管理',
})

export type NavWord = keyof typeof navWords.en

export interface NavEntry { path: string; word: NavWord; icon: string; key: string; group?: NavWord }

export const nav: readonly NavEntry[] = [
  { path: '/', word: 'overview', icon: 'overview', key: 'o' },
  { path: '/incidents', word: 'incidents', icon: 'incident', key: 'i', group: 'investigate' },
  { path: '/findings', word: 'findings', icon: 'finding', key: 'f', group: 'investigate' },
  { path: '/hosts', word: 'hosts', icon: 'host', key: 'h', group: 'investigate' },
  { path: '/hunt', word: 'hunt', icon: 'hunt', key: 'u', group: 'investigate' },
  { path: '/files', word: 'files', icon: 'file', key: 'l', group: 'layers' },
  { path: '/network', word: 'network', icon: 'network', key: 'n', group: 'layers' },
  { path: '/intel', word: 'intel', icon: 'intel', key: 't', group: 'layers' },
  { path: '/rules', word: 'rules', icon: 'rule', key: 'r', group: 'layers' },
  { path: '/response', word: 'response', icon: 'action', key: 'a', group: 'answer' },
  { path: '/agents', word: 'agents', icon: 'agent', key: 'e', group: 'manage' },
  { path: '/settings', word: 'settings', icon: 'settings', key: 's', group: 'manage' },
]
