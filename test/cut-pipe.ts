// A TCP proxy that does to a connection what networks do: cuts, crumbs, stalls, refusals. Why: every promise about
// reconnecting is worth what it is worth behind this. It must never change, reorder or invent a byte.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** What may happen to a connection. All absent: a plain pipe. A range is drawn anew for each connection. */
export interface CutPlan {
  /** Cut after so many bytes towards the client, drawn from `[from, to]`. */
  readonly cutAfterBytes?: readonly [from: number, to: number]
  /** Cut after so many bytes towards the server. */
  readonly cutUpAfterBytes?: readonly [from: number, to: number]
  /** How often, 0 to 1, a cut is a RST instead of a FIN. A RST may also take bytes along that were sent before. */
  readonly resetShare?: number
  /** Pass bytes on in writes of 1 to so many bytes. */
  readonly crumbBytesMax?: number
  /** How often, 0 to 1, a write waits first, for up to `stallMsMax`. */
  readonly stallShare?: number
  readonly stallMsMax?: number
  /** How often, 0 to 1, a new connection is reset at once. */
  readonly refuseShare?: number
}

export interface CutPipe extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Open connections now. */
  readonly connections: number
  /** Accepted since the start, the refused ones included. */
  readonly accepted: number
  /** Cuts made by the plan or `cutAll`. */
  readonly cuts: number
  /** May be replaced at any time; a connection keeps the byte counts that it drew at its start. */
  plan: CutPlan
  /** Cuts every open connection now. */
  cutAll(how?: 'reset' | 'end'): void
  /** Stops listening: connecting is refused by the system, open connections go on. */
  refuse(): void
  /** Listens again, on the same port. */
  accept(): Promise<void>
}

/** `random` decides everything, so a seeded one repeats the same faults for the same traffic. */
export async function cutPipe(
  target: { readonly host?: string; readonly port: number },
  { random, plan = {} }: { random: () => number; plan?: CutPlan },
): Promise<CutPipe> {
  const open = new Set<Cut>()
  const clients = new Set<Socket>()
  let server: Server | undefined
  let port = 0
  let accepted = 0
  let cuts = 0

  const take = (client: Socket) => {
    accepted++
    if (random() < (pipe.plan.refuseShare ?? 0)) return void client.on('error', () => {}).resetAndDestroy()
    const upstream = connect({ port: target.port, host: target.host ?? '127.0.0.1', allowHalfOpen: true })
    const cut: Cut = how => {
      if (!open.delete(cut)) return
      cuts++
      // The server side always sees a RST: it must notice at once that nobody listens any more.
      reset(upstream)
      if (how === 'reset') reset(client)
      else client.end()
    }
    open.add(cut)
    clients.add(client)
    client.on('close', () => clients.delete(client))
    let openSides = 2
    const closed = () => {
      if (--openSides === 0) open.delete(cut)
    }
    for (const socket of [client, upstream])
      socket
        .setNoDelay(true)
        .on('error', () => {})
        .on('close', closed)
    const drawHow = () => (random() < (pipe.plan.resetShare ?? 0) ? 'reset' : 'end')
    const budget = { down: draw(pipe.plan.cutAfterBytes, random), up: draw(pipe.plan.cutUpAfterBytes, random) }
    const faults = { random, plan: () => pipe.plan, cut: () => cut(drawHow()) }
    void pump(upstream, client, { ...faults, bytesMax: budget.down })
    void pump(client, upstream, { ...faults, bytesMax: budget.up })
  }

  const pipe: CutPipe = {
    plan,
    get url() {
      return `http://127.0.0.1:${port}`
    },
    get port() {
      return port
    },
    get connections() {
      return open.size
    },
    get accepted() {
      return accepted
    },
    get cuts() {
      return cuts
    },
    cutAll(how = 'reset') {
      for (const cut of open) cut(how)
    },
    refuse() {
      server?.close()
      server = undefined
    },
    async accept() {
      if (server !== undefined) return
      server = createServer({ allowHalfOpen: true }, take).listen(port, '127.0.0.1')
      await once(server, 'listening')
      port = (server.address() as AddressInfo).port
    },
    async [Symbol.asyncDispose]() {
      pipe.refuse()
      pipe.cutAll()
      const closed = [...clients].map(client => once(client.destroy(), 'close'))
      await Promise.all(closed)
    },
  }
  await pipe.accept()
  return pipe
}

type Cut = (how: 'reset' | 'end') => void

interface Faults {
  readonly random: () => number
  readonly plan: () => CutPlan
  readonly cut: () => void
  readonly bytesMax: number
}

async function pump(from: Socket, to: Socket, { random, plan, cut, bytesMax }: Faults): Promise<void> {
  let left = bytesMax
  try {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; ) {
        const { crumbBytesMax, stallShare = 0, stallMsMax = 0 } = plan()
        const size = crumbBytesMax === undefined ? chunk.length : 1 + Math.floor(random() * crumbBytesMax)
        const crumb = chunk.subarray(at, at + Math.min(size, left))
        if (random() < stallShare) await sleep(random() * stallMsMax)
        const hasRoom = to.write(crumb)
        if (!hasRoom) await once(to, 'drain')
        // A turn of the loop between two crumbs, else the kernel sends them as one.
        else if (crumbBytesMax !== undefined) await new Promise(setImmediate)
        at += crumb.length
        left -= crumb.length
        if (left === 0) return cut()
      }
    }
    to.end()
  } catch {
    // One side is gone: so is the other, in the same way.
    reset(to)
  }
}

/** A RST, where Node can: a reset amid the end of a socket fails inside, and that socket would never be closed. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

function draw(range: readonly [number, number] | undefined, random: () => number): number {
  if (range === undefined) return Number.POSITIVE_INFINITY
  const [from, to] = range
  return Math.max(1, from + Math.floor(random() * (to - from + 1)))
}

/** A small repeatable generator (Weyl sequence and a mix), good enough to vary the places of cuts. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }
}
