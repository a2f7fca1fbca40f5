// A topic of DashStream messages as the events of runs. Messages of ours say run and sequence and give back exactly the
// events they were made from; those of others become runs of their thread, from GRAPH_START (or the first one seen) to
// GRAPH_END or GRAPH_ERROR, numbered here. It must never number over a hole: what is missing is a gap, and stays one.
import { createHash } from 'node:crypto'
import { type Entry, entryOfEvent, type Gap } from '../batch.ts'
import { type Event, eventId, isTerminal } from '../event.ts'
import type { DashStreamMessage, Header } from '../gen/dashstream/v1/dashstream_pb.ts'
import type { LooseBody } from './body.ts'
import { type DecodeOptions, decodeDashStream } from './dashstream-codec.ts'
import { readForeign } from './dashstream-foreign.ts'
import { hex, isoOf } from './dashstream-names.ts'
import { bodyBytesMax } from './dashstream-frame.ts'
import { OwnToken, readOwnToken } from './dashstream-hot-token.ts'
import { type Arrival, createOrder, type Ordered } from './dashstream-order.ts'
import { readOwn, type Single } from './dashstream-read.ts'
import { type Decoded, type Decoder, emptyDecoded, type Problem, type RunBatch } from './format.ts'
import { undecodable } from './protobuf-check.ts'

export interface DashDecoderOptions extends DecodeOptions {
  /** The topic is read from its first message on: what is missing in front of a thread's first number is a gap as well. */
  readonly fromBeginning?: boolean
  /** Bounds, for tests and small machines. Defaults in dashstream-order.ts. */
  readonly lanesMax?: number
  readonly seenMax?: number
}

export interface DashDecoder extends Decoder {
  /** Takes a message that is decoded already. */
  take(message: DashStreamMessage, into?: Decoded): Decoded
}

/** A message on its way: read already, so that what cannot be read is refused before anything changed. */
interface Item extends Arrival {
  readonly tenant: string
  readonly thread: string
  /** Ours: the event. */
  readonly event?: Event | OwnToken
  /** A stranger's: what it says. */
  readonly told?: { readonly header: Header; readonly body: LooseBody }
}

/** A batch that still grows. */
class Draft implements RunBatch {
  readonly run_id: string
  readonly tenant: string
  readonly thread: string
  readonly after: number
  last: number
  state: RunBatch['state'] = 'open'
  declare readonly gap?: Gap
  private readonly told: (Event | OwnToken)[] = []

  constructor(run_id: string, { tenant, thread }: Pick<Item, 'tenant' | 'thread'>, after: number, gap?: Gap) {
    this.run_id = run_id
    this.tenant = tenant
    this.thread = thread
    this.after = after
    this.last = after
    if (gap !== undefined) this.gap = gap
  }

  add(event: Event | OwnToken): void {
    this.told.push(event)
    this.last = event.sequence
    this.state = isTerminal(event.type) ? 'sealed' : 'open'
  }

  get events(): Event[] {
    return this.told.map(event => (event instanceof OwnToken ? event.event() : event))
  }

  entries(): Entry[] {
    return this.told.map(event => (event instanceof OwnToken ? event.entry() : entryOfEvent(event)))
  }
}

/** The last sequence of a run of ours, and whether it was the end. */
interface OwnRun {
  last: number
  ended: boolean
}

/** The run that a thread of a stranger is in. */
interface OpenRun {
  readonly run_id: string
  /** Number of the last event; holes count. */
  last: number
  /** The last event that anyone was given: what a gap was requested after. */
  told: number
  version: number
  /** Names of the graphs within the graph that are open. */
  readonly graphs: string[]
  ended: boolean
}

export function dashstreamDecoder(options: DashDecoderOptions = {}): DashDecoder {
  const threads = new Map<string, OpenRun>()
  const runs = new Map<string, OwnRun>()
  let newest: { lane: string; run: OwnRun } | undefined
  /** What is being told: the caller's, while a call lasts. */
  let batches: Draft[] = []
  let problems: Problem[] = []

  const order = createOrder<Item>({
    release: ordered => deliver(ordered),
    forget: lane => {
      threads.delete(lane)
      runs.delete(lane)
      newest = undefined
    },
    ...(options.fromBeginning === undefined ? {} : { fromBeginning: options.fromBeginning }),
    ...(options.lanesMax === undefined ? {} : { lanesMax: options.lanesMax }),
    ...(options.seenMax === undefined ? {} : { seenMax: options.seenMax }),
  })

  const deliver = ({ lane, arrival: item, missing }: Ordered<Item>) => {
    if (missing > 0n) report('gap', item, { missing })
    if (item.event !== undefined) ownEvent(lane, item, item.event)
    else strangersEvent(lane, item, missing)
  }

  const runOf = (lane: string): OwnRun => {
    // Neighbours are mostly of one run.
    if (newest?.lane === lane) return newest.run
    const run = runs.get(lane) ?? { last: 0, ended: false }
    runs.set(lane, run)
    newest = { lane, run }
    return run
  }

  const ownEvent = (lane: string, item: Item, event: Event | OwnToken) => {
    const run = runOf(lane)
    if (run.ended) return report('after_end', item)
    hand(item, event, run.last)
    run.last = event.sequence
    run.ended = isTerminal(event.type)
  }

  const strangersEvent = (lane: string, item: Item, missing: bigint) => {
    if (item.told === undefined) return
    const { header, body } = item.told
    const before = threads.get(lane)
    let run = before?.ended === false ? before : undefined
    let told = body
    if (run !== undefined) run.last += Number(missing < holeMax ? missing : holeMax)
    if (run !== undefined && body.type === 'started') {
      if (header.parentId.length > 0) {
        const node_name = String(body['agent_name'])
        run.graphs.push(node_name)
        told = { type: 'step', node_name, phase: 'start' }
      } else {
        // Its producer went on without saying how it ended.
        emit(header, run, { type: 'error', error: 'the thread went on with another run', code: 'interrupted' })
        run = undefined
      }
    } else if (run !== undefined && isTerminal(body.type)) {
      const node_name = run.graphs.pop()
      if (node_name !== undefined) told = { type: 'step', node_name, phase: body.type === 'error' ? 'error' : 'end' }
    }
    if (run === undefined) {
      if (before !== undefined && epilogue.has(body.type)) return report('after_end', item)
      run = { run_id: strangersRun(header), last: 0, told: 0, version: 0, graphs: [], ended: false }
      threads.set(lane, run)
    }
    emit(header, run, told)
  }

  const emit = (header: Header, run: OpenRun, body: LooseBody) => {
    const { type, ...fields } = body
    const sequence = ++run.last
    const version = type === 'state' ? { version: run.version + 1, base_version: run.version++ } : {}
    const { run_id } = run
    const timestamp = isoOf(header.timestampUs)
    const event = { id: eventId(run_id, sequence), type, run_id, sequence, timestamp, ...version, ...fields }
    hand({ tenant: header.tenantId, thread: header.threadId }, event as unknown as Event, run.told)
    run.told = sequence
    run.ended = isTerminal(type)
  }

  /** Adds an event to the last batch where it follows on, else begins one; `before` is the last one of its run. */
  const hand = (of: Pick<Item, 'tenant' | 'thread'>, event: Event | OwnToken, before: number) => {
    const { run_id, sequence } = event
    const hole = sequence !== before + 1
    let batch = batches[batches.length - 1]
    if (hole || batch?.run_id !== run_id || batch.tenant !== of.tenant || batch.last !== before) {
      batch = new Draft(run_id, of, sequence - 1, hole ? { requested: before, oldest: sequence } : undefined)
      batches.push(batch)
    }
    batch.add(event)
  }

  const report = (kind: Problem['kind'], item: Item, more: Partial<Problem> = {}) => {
    const { tenant, thread, event, position, id, idAt } = item
    const run = event === undefined ? {} : { run_id: event.run_id ?? '' }
    const message_id = hex(id.subarray(idAt, idAt + 16))
    problems.push({ kind, tenant, thread, ...run, position, message_id, ...more })
  }

  const arrive = (item: Item) => {
    const { tenant, thread, event } = item
    const lane = laneOf(tenant, thread, event === undefined ? '' : (event.run_id ?? ''))
    // Number 0 is no position (H22): it goes on at once, and moves no cursor.
    if (item.position === 0n) {
      if (order.known(lane, item)) return report('duplicate', item)
      return unsequenced(lane, item)
    }
    const out: Ordered<Item>[] = []
    const verdict = order.arrive(lane, item, out)
    if (verdict !== 'taken') report(verdict, item)
    for (const ordered of out) deliver(ordered)
  }

  const unsequenced = (lane: string, item: Item) => {
    if (item.told?.body.type !== 'state') return strangersEvent(lane, item, 0n)
    // A change whose place is unknown is not applied, and its hole makes the state uncertain until a snapshot (H36).
    report('unsequenced', item)
    const run = threads.get(lane)
    if (run !== undefined && !run.ended) run.last++
  }

  const take = (message: DashStreamMessage, into: Decoded = emptyDecoded()): Decoded => {
    const items = itemsOf(message)
    tellTo(into)
    for (const item of items) arrive(item)
    return into
  }

  const tellTo = (into: Decoded) => {
    // Nobody else adds to it while it grows.
    batches = into.batches as Draft[]
    problems = into.problems
  }

  return {
    get waiting() {
      return order.waiting
    },
    take,
    push(payload, into = emptyDecoded()) {
      const token = payload.length - 1 <= (options.bodyBytesMax ?? bodyBytesMax) ? readOwnToken(payload) : undefined
      if (token === undefined) return take(decodeDashStream(payload, options), into)
      const { tenant, thread, idAt, sequence, run_id } = token
      tellTo(into)
      const lane = laneOf(tenant, thread, run_id)
      const run = runOf(lane)
      if (!run.ended && order.follows(lane, sequence, payload, idAt)) {
        hand(token, token, run.last)
        run.last = sequence
      } else arrive({ position: BigInt(sequence), id: payload, idAt, restart: false, tenant, thread, event: token })
      return into
    },
    flush() {
      const out: Ordered<Item>[] = []
      const into = emptyDecoded()
      tellTo(into)
      order.flush(out)
      for (const ordered of out) deliver(ordered)
      return into
    },
  }
}

/** What may follow the end of a stranger's run and still be about it: no run of its own. */
const epilogue: ReadonlySet<string> = new Set(['state', 'checkpoint', 'metrics', 'warning', 'custom'])

/** Above it a hole says only that the numbers are useless; a run's own numbers must stay safe integers. */
const holeMax = 1_000_000_000n

/** Reads all of a message before any of it counts. Messages made from an event that has its own are left out. */
function itemsOf({ message }: DashStreamMessage): Item[] {
  if (message.case === undefined) throw undecodable('schema_error', 'the message is of no kind that we know')
  if (message.case === 'eventBatch') {
    // The batch's own header has number 0 and says nothing that its events do not.
    return message.value.events.flatMap(value => itemOf({ case: 'event', value }, value.header))
  }
  return itemOf(message, message.value.header)
}

function itemOf(message: Single, header: Header | undefined): Item[] {
  if (header === undefined) throw undecodable('schema_error', 'the message has no header')
  const { tenantId: tenant, threadId: thread, messageId: id, runId, sequence, runSequence } = header
  const about = { id, idAt: 0, tenant, thread }
  if (runId === '') {
    const body = readForeign(message, header)
    return [{ ...about, position: sequence, restart: body.type === 'started', told: { header, body } }]
  }
  if (runSequence === 0n) return []
  return [{ ...about, position: runSequence, restart: false, event: readOwn(message, header) }]
}

/** Runs of ours are in order by themselves; a stranger's thread is one sequence. Never across tenants. */
function laneOf(tenant: string, thread: string, run: string): string {
  // Neighbours are mostly of one lane.
  if (tenant === latest.tenant && thread === latest.thread && run === latest.run) return latest.lane
  const lane = JSON.stringify(run === '' ? [tenant, 'thread', thread] : [tenant, 'run', run])
  latest = { tenant, thread, run, lane }
  return lane
}

let latest = { tenant: '', thread: '', run: '', lane: '' }

/** The same topic read again gives the same ids; a thread that begins anew at 1 gives another. */
function strangersRun({ tenantId, threadId, sequence, messageId }: Header): string {
  const of = JSON.stringify([tenantId, threadId, String(sequence), hex(messageId)])
  return `x-${createHash('sha256').update(of).digest('hex').slice(0, 32)}`
}
