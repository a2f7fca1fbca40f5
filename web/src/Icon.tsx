// The page's icons as strokes of one weight. They say nothing to a screen reader: the words stand beside them.

const paths = {
  alert: 'M12 8v5M12 16.5v.01M10.3 4.3 2.8 17.5A2 2 0 0 0 4.5 20.5h15a2 2 0 0 0 1.7-3L13.7 4.3a2 2 0 0 0-3.4 0Z',
  back: 'M15 6l-6 6 6 6',
  check: 'M5 12.5 10 17.5 19 7.5',
  close: 'M6 6 18 18M18 6 6 18',
  down: 'M12 5v14M6 13l6 6 6-6',
  download: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  edit: 'M4 20h4L19 9l-4-4L4 16v4Z',
  graph:
    'M6 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM18 14a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM6 20a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM6 8v8M8 6.5l8 4.5M8 17.5l8-4.5',
  menu: 'M4 7h16M4 12h16M4 17h16',
  on: 'M9 6l6 6-6 6',
  plus: 'M12 5v14M5 12h14',
  send: 'M12 19V5M6 11l6-6 6 6',
  stop: 'M7 7h10v10H7Z',
  table: 'M4 5h16v14H4ZM4 10h16M4 14.5h16M10 5v14',
  tool: 'M14.5 6.5a4 4 0 0 1 5-1l-3 3 1 2 2 1 3-3a4 4 0 0 1-5.5 5L9 21.5a2 2 0 0 1-3-3l8-8a4 4 0 0 1 .5-4Z',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
} as const

export function Icon({ name }: { name: keyof typeof paths }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  )
}
