// What a request wants, by its header, as RFC 9110 has it: q values, wildcards, and no refusal.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { preferred } from '../src/transports/http/accept.ts'

const [json, sse, ndjson] = ['application/json', 'text/event-stream', 'application/x-ndjson'] as const
const rows: readonly (readonly [string | undefined, string])[] = [
  [undefined, json],
  ['', json],
  ['*/*', json],
  [sse, sse],
  [ndjson, ndjson],
  ['TEXT/Event-Stream', sse],
  [`${sse}; charset=utf-8`, sse],
  [`${sse}, */*`, sse],
  [`*/*, ${ndjson}`, ndjson],
  [`${json}, ${sse}`, json],
  [`${sse}, ${json}`, sse],
  [`${json};q=0.5, ${sse};q=0.9, ${ndjson};q=0.8`, sse],
  [`${sse};q=0.001, ${json};q=0.01`, json],
  [`${sse};q=0`, json],
  [`${sse};q=0, ${json};q=0`, ndjson],
  [`${sse} ; q=0.0, ${ndjson};Q=0.2`, ndjson],
  [`${json};q=0, ${sse};q=0, ${ndjson};q=0`, json],
  [`text/*, ${sse};q=0`, json],
  ['text/*', sse],
  ['text/*;q=0.3, application/*;q=0.2', sse],
  ['*/*;q=0.1, text/*;q=0', json],
  ['application/xml', json],
  [`${sse};q=high`, sse],
  [`${sse};q=`, sse],
  [',;,', json],
]
for (const [header, wanted] of rows) {
  test(`Accept: ${header} gets ${wanted}`, () => assert.equal(preferred(header, [json, sse, ndjson]), wanted))
}

test('Accept-Encoding: gzip only where it is taken', () => {
  for (const header of ['gzip', 'gzip, deflate, br', 'br;q=1.0, gzip;q=0.8', 'identity;q=0', 'identity;q=0.5, *'])
    assert.equal(preferred(header, ['identity', 'gzip']), 'gzip', header)
  for (const header of [undefined, 'gzip;q=0', 'br', '*;q=0', 'x-gzip', 'identity, gzip;q=0.5'])
    assert.equal(preferred(header, ['identity', 'gzip']), 'identity', header)
})
