// SPDX-License-Identifier: Apache-2.0

// Icons of our own, 16 by 16, drawn with the colour of the text beside them. They never
// stand alone: a word or a label says the same.
const paths: Record<string, string> = {
  overview: 'M2 9h5V2H2zM9 14h5V7H9zM2 14h5v-3H2zM9 5h5V2H9z',
  incident: 'M8 1.8 15 14H1zM8 6.5v3.6M8 12v.2',
  finding: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7 14.5 14.5',
  host: 'M2 2.5h12v4H2zM2 9.5h12v4H2zM4.5 4.5h.1M4.5 11.5h.1',
  hunt: 'M2 3h12v10H2zM4.5 6l2 2-2 2M8.5 10.5h3',
  file: 'M3.5 1.5h6l3 3v10h-9zM9.5 1.5v3h3',
  flow: 'M2 8h11M9.5 4.5 13 8l-3.5 3.5',
  network: 'M8 5V2.5M8 11v2.5M5 8H2.5M11 8h2.5M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6z',
  intel: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM2 8h12M8 2c4 3.5 4 8.500 0 12M8 2c-4 3.500-4 8.500 0 12',
  rule: 'M3 3.500h10M3 8h10M3 12.500h6',
  action: 'M8 1.500 13.500 4v4c0 3.500-2.500 5.500-5.500 6.500C5 13.500 2.500 11.500 2.500 8V4z',
  agent: 'M4 4h8v8H4zM6.500 1.500V4M9.500 1.500V4M6.500 12v2.500M9.500 12v2.500M1.500 6.500H4M1.500 9.500H4M12 6.500h2.500M12 9.500h2.500',
  settings: 'M2 4.500h7M12 4.500h2M2 11.500h2M7 11.500h7M10.500 6.200a1.700 1.700 0 1 0 0-3.400 1.700 1.700 0 0 0 0 3.400zM5.500 13.200a1.700 1.700 0 1 0 0-3.400 1.700 1.700 0 0 0 0 3.400z',
  process: 'M2 3h12v10H2zM2 6h12M4 4.500h.1',
  request: 'M2 3h12v7H8l-3.500 3v-3H2z',
  address: 'M8 14.500C5 11 3.500 8.700 3.500 6.500a4.500 4.500 0 0 1 9 0c0 2.200-1.500 4.500-4.500 8zM8 8a1.600 1.600 0 1 0 0-3.200A1.600 1.600 0 0 0 8 8z',
  user: 'M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.500 14.500c.5-3.500 2.500-5 5.500-5s5 1.500 5.500 5',
  key: 'M5 11.500a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 8.500h6.500V11M11.500 8.500v2',
  container: 'M8 1.500 14 5v6.500l-6 3-6-3V5zM2 5l6 3 6-3M8 8v6.500',
  domain: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM2 8h12',
  fingerprint: 'M4 13c1-1.500 1.500-3 1.500-5a2.500 2.500 0 0 1 5 0c0 2.500-.5 4.500-1.500 6.500M8 8c0 2.500-.5 4.500-1.800 6.300M2.500 10c.3-.8.5-1.500.5-2.500a5 5 0 0 1 10 .5c0 1.500 0 2.500-.4 4',
  menu: 'M2 4h12M2 8h12M2 12h12',
  close: 'M3.500 3.500l9 9M12.500 3.500l-9 9',
  up: 'M4 10l4-4 4 4',
  down: 'M4 6l4 4 4-4',
  left: 'M10 4 6 8l4 4',
  right: 'M6 4l4 4-4 4',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  fit: 'M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4',
  entry: 'M9 2.500h4.500v11H9M2 8h7.500M6.500 5l3 3-3 3',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v2M8 13v2M1 8h2M13 8h2M3 3l1.400 1.400M11.600 11.600 13 13M13 3l-1.400 1.400M4.400 11.600 3 13',
  moon: 'M13 10A6 6 0 0 1 6 3a5.500 5.500 0 1 0 7 7z',
  half: 'M8 14A6 6 0 1 0 8 2zM8 14a6 6 0 0 0 0-12',
  check: 'M3 8.500 6.500 12 13 4.500',
  out: 'M9 2.500H3v11h6M6.500 8H14M11 5l3 3-3 3',
}

export type IconName = keyof typeof paths

/** Icon is decoration: what it means must stand in words beside it. */
export function Icon({ name, size = 16 }: { name: string; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={paths[name] ?? paths.finding} fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  )
}

/** iconOf gives the icon of a kind of entity. */
export function iconOf(kind: string): string {
  switch (kind) {
    case 'login': return 'key'
    case 'url': return 'domain'
    case 'content': case 'certificate': return 'fingerprint'
    case 'pipe': case 'socket': return 'flow'
    case 'service': return 'network'
  }
  return kind in paths ? kind : 'finding'
}
