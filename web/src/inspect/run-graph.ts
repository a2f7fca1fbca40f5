// The nodes of a run and how it went from one to the next, made from its steps: a step within another hangs below it, one
// after another follows it. Also as DOT and Mermaid, for papers and pull requests.
import type { Step } from '../../../src/state/view.ts'

export interface GraphNode {
  readonly name: string
  readonly times: number
  readonly state: 'open' | 'done' | 'failed'
  readonly totalMs: number
}

export interface GraphEdge {
  readonly from: string
  readonly to: string
  readonly times: number
  /** `to` ran as a part of `from`. */
  readonly within: boolean
}

export interface RunGraph {
  readonly nodes: readonly GraphNode[]
  readonly edges: readonly GraphEdge[]
}

export function graphOf(steps: readonly Step[]): RunGraph {
  const nodes = new Map<string, GraphNode>()
  const edges = new Map<string, GraphEdge>()
  const link = (from: string, to: string, within: boolean) => {
    const key = JSON.stringify([from, to, within])
    edges.set(key, { from, to, within, times: (edges.get(key)?.times ?? 0) + 1 })
  }
  const around: { step: Step; inner: Step | undefined }[] = []
  let before: Step | undefined
  for (const step of steps) {
    while (around.length > 0 && !contains((around.at(-1) as { step: Step }).step, step)) around.pop()
    const parent = around.at(-1)
    const previous = parent ? parent.inner : before
    if (previous) link(previous.node_name, step.node_name, false)
    else if (parent) link(parent.step.node_name, step.node_name, true)
    if (parent) parent.inner = step
    else before = step
    around.push({ step, inner: undefined })
    const known = nodes.get(step.node_name)
    nodes.set(step.node_name, {
      name: step.node_name,
      times: (known?.times ?? 0) + 1,
      totalMs: (known?.totalMs ?? 0) + (step.duration_ms ?? 0),
      state: step.open ? 'open' : step.phase === 'error' ? 'failed' : known?.state === 'open' ? 'open' : 'done',
    })
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] }
}

function contains(outer: Step, inner: Step): boolean {
  return outer.open || outer.last_sequence > inner.sequence
}

export function dotOf({ nodes, edges }: RunGraph): string {
  const name = (text: string) => JSON.stringify(text)
  return [
    'digraph run {',
    '  node [shape=box, style=rounded];',
    ...nodes.map(node => `  ${name(node.name)} [label=${name(labelOf(node))}];`),
    ...edges.map(
      ({ from, to, times, within }) =>
        `  ${name(from)} -> ${name(to)} [label="${times}"${within ? ', style=dashed' : ''}];`,
    ),
    '}',
    '',
  ].join('\n')
}

export function mermaidOf({ nodes, edges }: RunGraph): string {
  const ids = new Map(nodes.map(({ name }, index) => [name, `n${index + 1}`]))
  const text = (words: string) => `"${words.replace(/["&<>#;]/g, char => `#${char.charCodeAt(0)};`)}"`
  return [
    'flowchart TD',
    ...nodes.map(node => `  ${ids.get(node.name)}[${text(labelOf(node))}]`),
    ...edges.map(
      ({ from, to, times, within }) => `  ${ids.get(from)} ${within ? '-.->' : '-->'}|${times}| ${ids.get(to)}`,
    ),
    '',
  ].join('\n')
}

export function labelOf({ name, times }: GraphNode): string {
  return times === 1 ? name : `${name} ×${times}`
}
