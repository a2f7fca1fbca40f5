// One message of each of the nine kinds, with every field set that the kind has. Their bytes, made by protoc, are in
// fixtures/dashstream.json.
import type { DashStreamInput } from '../src/formats/dashstream-codec.ts'

type Kind = NonNullable<NonNullable<DashStreamInput['message']>['case']>

const text = (value: string) => new TextEncoder().encode(value)

export function header(type: number, more: Record<string, unknown> = {}) {
  return {
    messageId: Uint8Array.from({ length: 16 }, (_, i) => i + 1),
    timestampUs: 1_763_733_333_123_456n,
    tenantId: 'acme',
    threadId: 'thread-ü-1',
    sequence: 9_007_199_254_740_993n,
    type,
    parentId: Uint8Array.from({ length: 16 }, (_, i) => 255 - i),
    schemaVersion: 1,
    runId: 'run-1',
    runSequence: 300n,
    runcastFields: text('{"a":1}'),
    ...more,
  }
}

export const samples = {
  event: {
    header: header(1),
    eventType: 11,
    nodeId: 'researcher',
    attributes: {
      a: { value: { case: 'stringValue', value: 'grüß' } },
      b: { value: { case: 'intValue', value: -9_223_372_036_854_775_808n } },
      c: { value: { case: 'floatValue', value: 0.1 } },
      d: { value: { case: 'boolValue', value: true } },
      e: { value: { case: 'bytesValue', value: Uint8Array.of(0, 255) } },
      f: { value: { case: 'arrayValue', value: { values: [{ value: { case: 'intValue', value: 1n } }] } } },
      g: { value: { case: 'mapValue', value: { values: { k: { value: { case: 'boolValue', value: false } } } } } },
    },
    durationUs: 1_500n,
    llmRequestId: 'req-1',
  },
  stateDiff: {
    header: header(2),
    baseCheckpointId: Uint8Array.of(1, 2),
    operations: [
      { op: 2, path: '/a~1b', value: text('1'), encoding: 0 },
      { op: 3, path: '/x', from: '/y', encoding: 3 },
    ],
    stateHash: new Uint8Array(32).fill(9),
    fullState: text('{}'),
  },
  tokenChunk: {
    header: header(3),
    requestId: 'req-1',
    text: ' hello',
    tokenIds: [1, 300, 4_294_967_295],
    logprobs: [-0.5, 0.25],
    chunkIndex: 7,
    isFinal: true,
    finishReason: 1,
    model: 'small-1',
    stats: { promptTokens: 10, completionTokens: 20, totalTokens: 30 },
  },
  toolExecution: {
    header: header(4),
    callId: 'call-1',
    toolName: 'search',
    stage: 4,
    arguments: text('{"q":"x"}'),
    result: text('[]'),
    error: 'no route',
    errorDetails: { errorCode: 'E1', message: 'no route', severity: 4 },
    durationUs: 2_000n,
    retryCount: 2,
  },
  checkpoint: {
    header: header(5),
    checkpointId: Uint8Array.of(1),
    state: text('{"n":1}'),
    stateType: 'json',
    checksum: new Uint8Array(32).fill(1),
    storageUri: 's3://bucket/key',
    compressionInfo: {
      type: 1,
      compressedSize: 5n,
      uncompressedSize: 18_446_744_073_709_551_615n,
      compressionRatio: 0.5,
    },
    metadata: { k: 'v' },
  },
  metrics: {
    header: header(6),
    scope: 'llm',
    scopeId: 'req-1',
    metrics: {
      cost_usd: { value: { case: 'floatValue', value: 0.25 }, unit: 'usd', type: 2 },
      tokens_total: { value: { case: 'intValue', value: 9_007_199_254_740_993n }, unit: 'tokens', type: 1 },
    },
    tags: { model: 'small-1' },
  },
  error: {
    header: header(7),
    errorCode: 'agent_error',
    message: 'it broke',
    stackTrace: 'at a\nat b',
    context: { node: 'researcher' },
    severity: 5,
    exceptionType: 'TypeError',
    suggestions: ['retry', 'ask'],
  },
  eventBatch: {
    header: header(8, { sequence: 0n }),
    events: [
      { header: header(1, { sequence: 1n }), eventType: 10, nodeId: 'a' },
      { header: header(1, { sequence: 2n }), eventType: 11, nodeId: 'a', durationUs: 5n },
    ],
  },
  executionTrace: {
    header: header(9, { sequence: 0n }),
    threadId: 'thread-ü-1',
    executionId: 'run-1',
    nodesExecuted: [
      {
        node: 'a',
        durationMs: 5n,
        promptTokens: 1n,
        completionTokens: 2n,
        totalTokens: 3n,
        succeeded: true,
        startedAt: '2025-11-21T13:55:33Z',
        endedAt: '2025-11-21T13:55:34Z',
        input: text('1'),
        output: text('2'),
        metadata: { k: 'v' },
      },
    ],
    totalDurationMs: 1_000n,
    totalTokens: 3n,
    errors: [{ node: 'b', message: 'm', errorCode: 'E', timestamp: 't', recovered: true, stackTrace: 's' }],
    completed: true,
    startedAt: '2025-11-21T13:55:33Z',
    endedAt: '2025-11-21T13:55:34Z',
    finalState: text('{}'),
    metadata: { k: text('v') },
  },
} as const satisfies Record<Kind, unknown>

/** The sample of a kind as a message to encode. */
export function sample(kind: Kind, more: object = {}): DashStreamInput {
  return { message: { case: kind, value: { ...samples[kind], ...more } } } as DashStreamInput
}

export const kinds = Object.keys(samples) as Kind[]
