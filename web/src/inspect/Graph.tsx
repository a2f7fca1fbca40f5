// The nodes of a run as a picture, laid out in layers. A screen reader gets them as a list as well.
import { Graph as Layered, layout } from '@dagrejs/dagre'
import { Background, Controls, type Edge, MarkerType, type Node, ReactFlow } from '@xyflow/react'
import '@xyflow/react/dist/style.css'
import { useMemo } from 'react'
import type { Step } from '../../../src/state/view.ts'
import { duration } from '../parts/duration.ts'
import { useDark } from '../parts/use-dark.ts'
import { graphOf, labelOf, type RunGraph } from './run-graph.ts'

const widthPx = 190
const heightPx = 56

export function Graph({ steps, ended }: { steps: readonly Step[]; ended: boolean }) {
  const dark = useDark()
  const graph = useMemo(() => graphOf(steps), [steps])
  const { nodes, edges } = useMemo(() => placed(graph), [graph])
  if (graph.nodes.length === 0)
    return <p className="loading">{ended ? 'This run had no steps.' : 'No step has begun yet.'}</p>
  return (
    <>
      <div className="graph">
        <ReactFlow
          key={nodes.length}
          nodes={nodes}
          edges={edges}
          fitView
          fitViewOptions={{ maxZoom: 1.1 }}
          colorMode={dark ? 'dark' : 'light'}
          nodesConnectable={false}
          nodesDraggable={false}
          nodesFocusable={false}
          edgesFocusable={false}
          proOptions={{ hideAttribution: true }}
        >
          <Background gap={20} />
          <Controls showInteractive={false} />
        </ReactFlow>
      </div>
      <ul className="unseen" aria-label="Nodes">
        {graph.nodes.map(node => (
          <li key={node.name}>
            {labelOf(node)}, {node.state}, leads to{' '}
            {graph.edges
              .filter(edge => edge.from === node.name)
              .map(edge => edge.to)
              .join(', ') || 'nothing'}
          </li>
        ))}
      </ul>
    </>
  )
}

function placed({ nodes, edges }: RunGraph): { nodes: Node[]; edges: Edge[] } {
  const layered = new Layered()
  layered.setGraph({ rankdir: 'TB', nodesep: 40, ranksep: 55 })
  layered.setDefaultEdgeLabel(() => ({}))
  for (const { name } of nodes) layered.setNode(name, { width: widthPx, height: heightPx })
  for (const { from, to } of edges) if (from !== to) layered.setEdge(from, to)
  layout(layered)
  return {
    nodes: nodes.map(node => {
      const { x, y } = layered.node(node.name) as { x: number; y: number }
      const label = (
        <>
          <strong title={labelOf(node)}>{labelOf(node)}</strong>
          <span>{node.state === 'open' ? 'running' : duration(node.totalMs)}</span>
        </>
      )
      return {
        id: node.name,
        position: { x: x - widthPx / 2, y: y - heightPx / 2 },
        data: { label },
        className: `graph-node ${node.state}`,
        style: { width: widthPx },
      }
    }),
    edges: edges.map(({ from, to, times, within }) => ({
      id: `${from} ${to} ${within}`,
      source: from,
      target: to,
      markerEnd: { type: MarkerType.ArrowClosed },
      ...(times > 1 && { label: `×${times}` }),
      ...(within && { style: { strokeDasharray: '5 4' } }),
    })),
  }
}
