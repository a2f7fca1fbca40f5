// A flame graph as one SVG file: the run on top, what is within below it. It needs no script, says in a title per frame
// what the frame is, and is dark where the reader's desktop is. Names come from agents: never let one out unescaped.
import { type Frame, framesDeepMax, widthOf } from './flame.ts'

/** As wide as a window on a small screen. */
const widthPx = 1_200
const rowPx = 20
const headPx = 40
/** Narrower frames cannot be seen; they are counted. */
const frameMinPx = 0.2
/** Average width of a character of the 12 px font, so that a name is cut rather than written over its neighbour. */
const charPx = 7

export function flameSvg(root: Frame, title: string): string {
  const scale = widthPx / (widthOf(root) || 1)
  const frames: string[] = []
  let narrow = 0
  let deepest = 0
  const draw = (frame: Frame, x: number, depth: number) => {
    const width = (widthOf(frame) || (depth === 0 ? 1 : 0)) * scale
    if (width < frameMinPx) {
      narrow++
      return
    }
    deepest = Math.max(deepest, depth)
    frames.push(drawn(frame, { x, depth, width, share: width / widthPx }))
    let at = x
    for (const child of frame.children.values()) {
      draw(child, at, depth + 1)
      at += widthOf(child) * scale
    }
  }
  draw(root, 0, 0)
  const height = headPx + (Math.min(deepest, framesDeepMax) + 1) * rowPx + 10
  const left = narrow === 0 ? '' : ` ${narrow} frames are too narrow to be drawn.`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${widthPx} ${height}" width="${widthPx}" height="${height}" role="img" aria-labelledby="title what">
<title id="title">${escaped(title)}</title>
<desc id="what">Flame graph: the run on top, steps, tools and model requests below what they ran in; a frame is as wide as it took long. What ran side by side stands side by side.${left}</desc>
<style>
  :root { color-scheme: light dark; --page: #fff; --ink: #1b1b1f; --run: #d5d8e0; --step: #9ec9f5; --tool: #f7c98b; --llm: #b9e0a5; --failed: #b3261e }
  @media (prefers-color-scheme: dark) { :root { --page: #17181c; --ink: #eceef2; --run: #3b3f4a; --step: #1f4f7f; --tool: #7a4d12; --llm: #2f6020; --failed: #ff8a80 } }
  .page { fill: var(--page) } text { fill: var(--ink); font: 12px system-ui, sans-serif } .head { font-weight: 600 }
  rect.run { fill: var(--run) } rect.step { fill: var(--step) } rect.tool { fill: var(--tool) } rect.llm { fill: var(--llm) }
  g rect { stroke: var(--page); stroke-width: 1 } rect.failed { stroke: var(--failed); stroke-width: 2 }
</style>
<rect class="page" width="100%" height="100%"/>
<text class="head" x="8" y="18">${escaped(title)}</text>
<text x="8" y="34">step: blue, tool: orange, model: green${left}</text>
${frames.join('\n')}
</svg>
`
}

function drawn(frame: Frame, at: { x: number; depth: number; width: number; share: number }): string {
  const { kind, name, calls, untimed, failed, total_ms, self_ms } = frame
  const y = headPx + at.depth * rowPx
  const counts = [
    untimed === calls ? 'duration unknown' : `${ms(total_ms)} in total, ${ms(self_ms)} of its own`,
    `${calls} ${calls === 1 ? 'call' : 'calls'}`,
    ...(untimed > 0 && untimed < calls ? [`${untimed} of unknown duration`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
    `${(at.share * 100).toFixed(1)} %`,
  ]
  const room = Math.floor((at.width - 6) / charPx)
  const label = room < 3 ? '' : name.length <= room ? name : `${name.slice(0, room - 1)}…`
  const text = label === '' ? '' : `<text x="${px(at.x + 4)}" y="${y + 14}">${escaped(label)}</text>`
  const box = `<rect class="${kind}${failed > 0 ? ' failed' : ''}" x="${px(at.x)}" y="${y}" width="${px(at.width)}" height="${rowPx - 1}"/>`
  return `<g><title>${escaped(`${kind} ${name}: ${counts.join(', ')}`)}</title>${box}${text}</g>`
}

function ms(value: number): string {
  return `${Number(value.toFixed(3))} ms`
}

function px(value: number): string {
  return String(Number(value.toFixed(2)))
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** XML 1.0 has no place for most control characters and none for half a surrogate pair, escaped or not. */
function escaped(text: string): string {
  return (
    text
      .toWellFormed()
      // oxlint-disable-next-line no-control-regex -- control characters are what it is about
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '·')
      .replace(/[&<>"]/g, one => entities[one] ?? one)
  )
}
