// Proves the sales analyst: the data is whole, the parser is honest, every plan runs, every figure that it says is
// in the rows, and the events come in the order of the ONDASH flow. The model is a real HTTP server on loopback.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import * as echarts from 'echarts'
import fc from 'fast-check'
import { salesAnalyst } from '../examples/sales-analyst/agent.ts'
import type { SalesAnswer } from '../examples/sales-analyst/agent.ts'
import { draw } from '../examples/sales-analyst/chart.ts'
import { parseCsv } from '../examples/sales-analyst/csv.ts'
import { rowCount, salesData } from '../examples/sales-analyst/data.ts'
import { insight } from '../examples/sales-analyst/insight.ts'
import { readPlan } from '../examples/sales-analyst/llm.ts'
import { dimensions, filterFields, measures, planSchema, refuse } from '../examples/sales-analyst/plan.ts'
import type { Dimension, FilterField, Measure, Plan } from '../examples/sales-analyst/plan.ts'
import { compile, run } from '../examples/sales-analyst/query.ts'
import { examples, parseQuestion, questionCharsMax } from '../examples/sales-analyst/question.ts'
import { vocabularyOf } from '../examples/sales-analyst/vocabulary.ts'
import { RuncastError } from '../src/error.ts'
import type { Body } from '../src/event.ts'

const database = salesData()
const vocabulary = vocabularyOf(database)

test('any table of texts survives being written as CSV and read back', () => {
  const cell = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r\n', ' ', 'é') })
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`
  fc.assert(
    fc.property(fc.array(fc.array(cell, { minLength: 1 })), fc.constantFrom('\n', '\r\n'), (table, end) => {
      const text = table.map(record => record.map(quoted).join(',') + end).join('')
      assert.deepEqual([...parseCsv(text)], table)
    }),
  )
})

test('plain CSV fields need no quotes, and a last line needs no end', () => {
  assert.deepEqual(
    [...parseCsv('a,b\r\n1,\n,2')],
    [
      ['a', 'b'],
      ['1', ''],
      ['', '2'],
    ],
  )
})

test('a quote that is never closed and text behind a closing quote are refused with their line', () => {
  assert.throws(() => [...parseCsv('a\n"b')], /line 2: the quote is never closed/)
  assert.throws(() => [...parseCsv('"a\nb"\n"c"d')], /line 3: text follows a closing quote/)
})

test('all 9,994 rows of the data set are loaded with types and ISO dates, once', () => {
  const [figures] = database
    .prepare(
      `SELECT COUNT(*) AS rows, COUNT(DISTINCT order_id) AS orders, MIN(order_date) AS oldest, MAX(order_date) AS newest,
        ROUND(SUM(sales), 2) AS sales, SUM(quantity) AS units, MIN(typeof(quantity)) AS type FROM orders`,
    )
    .all()
  assert.deepEqual(
    { ...figures },
    {
      rows: rowCount,
      orders: 5009,
      oldest: '2014-01-03',
      newest: '2017-12-30',
      sales: 2297200.86,
      units: 37873,
      type: 'integer',
    },
  )
  assert.equal(salesData(), database)
  assert.throws(() => database.exec('DELETE FROM orders'), /readonly/)
})

const asked = (question: string): Plan => {
  const parsed = parseQuestion(question, vocabulary)
  assert.ok('plan' in parsed, 'cannot' in parsed ? parsed.cannot : '')
  return parsed.plan
}

const plain = { filters: [], order: 'natural', chart: 'bar' }
const read: [question: string, plan: Partial<Plan>][] = [
  ['Create a chart with sales data', { ...plain, measure: 'sales', by: ['quarter'] } as Plan],
  [
    'Top 5 customers in the West',
    { by: ['customer'], top: 5, order: 'largest', filters: [{ field: 'region', values: ['West'] }] },
  ],
  [
    'Profit by category in 2017',
    { measure: 'profit', by: ['category'], filters: [{ field: 'year', values: ['2017'] }] },
  ],
  ['monthly sales by region', { by: ['month', 'region'], chart: 'line' }],
  ['share of sales by segment', { by: ['segment'], chart: 'pie' }],
  ['which 3 products sold least', { by: ['product'], top: 3, order: 'smallest' }],
  ['best selling products', { by: ['product'], top: 10, order: 'largest' }],
  ['How many orders in California?', { measure: 'orders', filters: [{ field: 'state', values: ['California'] }] }],
  ['how many chairs were sold?', { measure: 'quantity', filters: [{ field: 'sub_category', values: ['Chairs'] }] }],
  ['compare East and West', { by: ['region'], filters: [{ field: 'region', values: ['East', 'West'] }] }],
  [
    'sales since 2016 by sub-category',
    { by: ['sub_category'], filters: [{ field: 'year', values: ['2016', '2017'] }] },
  ],
  [
    '2014-2016 discounts by ship mode',
    { measure: 'discount', by: ['ship_mode'], filters: [{ field: 'year', values: ['2014', '2015', '2016'] }] },
  ],
  ['sales in the state of Texas by city', { by: ['city'], filters: [{ field: 'state', values: ['Texas'] }] }],
  [
    'may I see sales in May 2016 by state',
    {
      by: ['state'],
      filters: [
        { field: 'month_of_year', values: ['05'] },
        { field: 'year', values: ['2016'] },
      ],
    },
  ],
  [
    'sales trend for phones',
    { by: ['quarter'], chart: 'line', filters: [{ field: 'sub_category', values: ['Phones'] }] },
  ],
]

for (const [question, plan] of read) {
  test(`the question "${question}" is read as it was meant`, () => assert.partialDeepStrictEqual(asked(question), plan))
}

const refusedQuestions: [question: string, reason: RegExp][] = [
  ['sales in Paris', /no place, product, customer or time called "paris"/],
  ['What is the weather?', /I do not know "weather"/],
  ['hello', /no question about the data/],
  ['sales in 2019', /years 2014 to 2017, and nothing of 2019/],
  ['sales without furniture', /not leave values out \("without"\)/],
  ['orders over 1000', /number 1000/],
  ['forecast sales by quarter', /into the future/],
  ['sales and profit by region', /one figure at a time, not sales and profit/],
  ['average sales by region', /averages I have of discounts only/],
  ['Texas and the West sales', /cannot join state "texas" and region "west"/],
  ['sales from Q1 2016 to Q3 2016', /cannot read a span/],
  ['sales by state and customer', /cannot draw state and customer together/],
  ['top 500 products', /top 1 to 50, not 500/],
  ['profit margin by segment as pie', /parts of a whole/],
  ['how many customers', /not customers/],
  ['x'.repeat(questionCharsMax + 1), /501 characters; I read at most 500/],
]

for (const [question, reason] of refusedQuestions) {
  test(`the question "${question.slice(0, 40)}" is refused with its reason and three examples`, () => {
    const parsed = parseQuestion(question, vocabulary)
    assert.ok('cannot' in parsed, JSON.stringify(parsed))
    assert.match(parsed.cannot, reason)
    assert.ok(examples.every(example => parsed.cannot.includes(example)))
  })
}

test('the examples that a refusal offers are themselves answered', () => {
  for (const example of examples) assert.ok(run(database, asked(example)).rows.length > 0, example)
})

test('a small typing error is mended and said, a far or ambiguous word is not', () => {
  const mended = parseQuestion('slaes by regoin', vocabulary)
  assert.ok('plan' in mended)
  assert.deepEqual(mended.notes, ['I read "slaes" as "sales".', 'I read "regoin" as "region".'])
  assert.ok('cannot' in parseQuestion('sxlxs by region', vocabulary))
})

const knownWord = fc.constantFrom(...vocabulary.phrases.keys())
const question = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 80 }),
  fc
    .array(fc.oneof(knownWord, fc.constantFrom('2016', '2017', '2030', '5', '0', 'to', 'since', '-', 'paris', 'by')), {
      maxLength: 9,
    })
    .map(parts => parts.join(' ')),
)

test('no question makes the parser throw, and every plan that it makes is valid and its SQL runs', () => {
  let plans = 0
  fc.assert(
    fc.property(question, text => {
      const parsed = parseQuestion(text, vocabulary)
      if ('cannot' in parsed) return
      plans++
      assert.deepEqual(planSchema.parse(parsed.plan), parsed.plan)
      assert.equal(refuse(parsed.plan), undefined)
      run(database, parsed.plan)
    }),
    { numRuns: 400, examples: [['Create a chart with sales data']] },
  )
  assert.ok(plans > 1, 'the generator never made an answerable question')
})

test('a word that the parser does not know is never dropped, wherever it stands', () => {
  fc.assert(
    fc.property(fc.constantFrom(...read), fc.nat(), ([text], place) => {
      const parts = text.split(' ')
      parts.splice(place % (parts.length + 1), 0, 'zzyzx')
      const parsed = parseQuestion(parts.join(' '), vocabulary)
      assert.ok('cannot' in parsed && parsed.cannot.includes('zzyzx'), JSON.stringify(parsed))
    }),
  )
})

const keys = <T extends string>(table: Record<T, unknown>) => Object.keys(table) as T[]
const filter = fc.constantFrom(...keys<FilterField>(filterFields)).chain(field =>
  fc.record({
    field: fc.constant(field),
    values: fc.uniqueArray(fc.constantFrom(...(vocabulary.values.get(field) ?? [])), { minLength: 1, maxLength: 3 }),
  }),
)
const plan: fc.Arbitrary<Plan> = fc
  .record(
    {
      measure: fc.constantFrom(...keys<Measure>(measures)),
      by: fc.uniqueArray(fc.constantFrom(...keys<Dimension>(dimensions)), { minLength: 1, maxLength: 2 }),
      filters: fc.uniqueArray(filter, { maxLength: 2, selector: one => one.field }),
      top: fc.integer({ min: 1, max: 50 }),
      order: fc.constantFrom('natural', 'largest', 'smallest'),
      chart: fc.constantFrom('bar', 'line', 'pie'),
    },
    { requiredKeys: ['measure', 'by', 'filters', 'order', 'chart'] },
  )
  .map(candidate => candidate as Plan)
  .filter(candidate => refuse(candidate) === undefined)

test('every plan gives rows that add up, an option that is JSON, and sentences', () => {
  fc.assert(
    fc.property(plan, one => {
      const result = run(database, one)
      const chart = draw(one, result)
      assert.deepEqual(JSON.parse(JSON.stringify(chart.option)), chart.option)
      assert.equal(chart.data_points, result.rows.length)
      assert.match(insight(one, result), /\.$/)
      const shown = new Set(result.rows.map(row => row.x)).size
      if (one.top !== undefined) assert.ok(shown <= one.top)
      if (measures[one.measure].additive && shown === result.groups) {
        const sum = result.rows.reduce((total, row) => total + row.value, 0)
        // Each row is rounded to cents.
        assert.ok(Math.abs(sum - result.total) <= 0.01 * (result.rows.length + 1), `${sum} is not ${result.total}`)
      }
    }),
    { numRuns: 100 },
  )
})

test('a value of a plan is never part of the SQL text', () => {
  const hostile = `x'); DROP TABLE orders; --`
  const evil: Plan = { ...asked('sales by region'), filters: [{ field: 'city', values: [hostile] }] }
  assert.ok(!compile(evil).sql.includes('DROP'))
  assert.ok(compile(evil).params.includes(hostile))
  assert.deepEqual(run(database, evil), { rows: [], total: 0, groups: 0 })
})

test('sentences are computed from the rows: direction, ties, losses and cuts', () => {
  const sales = asked('sales by quarter in 2017')
  const rows = [10, 20, 5].map((value, index) => ({ x: `2017 Q${index + 1}`, value }))
  assert.match(
    insight(sales, { rows, total: 35, groups: 3 }),
    /^Sales decreased in Q3 2017: \$5\.00, after \$20\.00 in Q2 2017 \(-75\.0%\)\. The highest of all shown: \$20\.00 in Q2 2017\./,
  )
  const tied = [
    { x: 'East', value: 3 },
    { x: 'South', value: 3 },
    { x: 'West', value: 1 },
  ]
  assert.match(
    insight(asked('orders by region'), { rows: tied, total: 7, groups: 4 }),
    /East has the most orders with 3 \(like 1 more\), West the fewest orders with 1\. 3 of 4 regions are shown\./,
  )
  const losses = [
    { x: 'East', value: 8 },
    { x: 'West', value: -6 },
  ]
  const said = insight(asked('profit by region'), { rows: losses, total: 2, groups: 2 })
  assert.match(said, /West the lowest profit with -\$6\.00\. In total, the profit is \$2\.00\.$/)
  assert.equal(insight(sales, { rows: [], total: 0, groups: 0 }), 'No orders match this question.')
})

test('a pie that would lie is drawn as bars, and the reader is told', () => {
  const losses = asked('share of profit by sub-category')
  const drawn = draw(losses, run(database, losses))
  assert.equal(drawn.chart_type, 'bar')
  assert.equal(drawn.note, 'A pie cannot show losses, so these are bars.')
})

test('ON6 bar, line and pie options are plain JSON that ECharts draws with their figures', () => {
  for (const question of [
    'sales by region',
    'monthly sales by region',
    'share of sales by region',
    'worst 5 states by profit',
  ]) {
    const one = asked(question)
    const { option } = draw(one, run(database, one))
    assertNoFunctions(option)
    const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 700, height: 400 })
    chart.setOption({ ...option, animation: false })
    const svg = chart.renderToSVGString()
    chart.dispose()
    const first = run(database, one).rows.find(row => row.series === undefined)
    assert.match(svg, /<path/)
    assert.ok(svg.includes(first?.x ?? 'West'), `${question}: its labels are drawn`)
  }
})

function assertNoFunctions(value: unknown): void {
  assert.notEqual(typeof value, 'function')
  if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) assertNoFunctions(inner)
}

async function answer(
  question: string,
  environment: Record<string, string> = {},
  signal = new AbortController().signal,
) {
  const bodies: Body[] = []
  const agent = salesAnalyst({ question }, signal, environment)
  let step = await agent.next()
  for (; !step.done; step = await agent.next()) bodies.push(step.value)
  return { bodies, output: step.value satisfies SalesAnswer }
}

const of = <T extends Body['type']>(bodies: Body[], type: T) =>
  bodies.filter((body): body is Extract<Body, { type: T }> => body.type === type)

test('ON3 ON4 ON5 "Create a chart with sales data" gives three statuses, text before, a bar chart and text after, in this order', async () => {
  const { bodies, output } = await answer('Create a chart with sales data')
  const visible = bodies.filter(body => ['progress', 'text', 'chart'].includes(body.type))
  assert.deepEqual(
    visible.map(body => (body.type === 'progress' ? body.message : body.type === 'text' ? body.position : body.type)),
    ['Decomposing query...', 'Executing chart_generation...', 'Querying database...', 'before', 'chart', 'after'],
  )
  assert.deepEqual(
    of(bodies, 'progress').map(({ step, progress }) => [step, progress]),
    [
      ['decompose', 0.1],
      ['chart_generation', 0.4],
      ['query_database', 0.7],
    ],
  )
  const [before, after] = of(bodies, 'text')
  assert.equal(before?.content, 'Here is your sales chart: sales by quarter.')
  assert.match(
    after?.content ?? '',
    /^Sales increased in Q4 2017: \$280,054, after \$196,252 in Q3 2017 \(\+42\.7%\)\./,
  )
  assert.match(after?.content ?? '', /Q4 had the highest sales of every year shown\./)
  assert.ok(of(bodies, 'text').every(({ language }) => language === 'en'))
  const [chart] = of(bodies, 'chart')
  assert.partialDeepStrictEqual(chart, { chart_type: 'bar', title: 'Sales by quarter', data_points: 16 })
  assert.equal(output.rows.length, 16)
  assert.equal(output.answer, after?.content)
})

test('ON5 a question that cannot be answered gives one standalone text and no chart', async () => {
  const { bodies, output } = await answer('What is the weather?')
  assert.deepEqual(
    of(bodies, 'text').map(({ position }) => position),
    ['standalone'],
  )
  assert.match(output.answer, /I do not know "weather"/)
  assert.equal(of(bodies, 'chart').length, 0)
})

test('a question that matches no order says so and draws nothing', async () => {
  const { bodies, output } = await answer('sales for Texas in the West region')
  assert.deepEqual(output, { answer: 'No orders match this question.', rows: [] })
  assert.equal(of(bodies, 'chart').length, 0)
})

test('every step that starts also ends, innermost first, and the SQL is a tool call that can be repeated', async () => {
  const { bodies, output } = await answer('Profit by category in 2017')
  assert.deepEqual(
    of(bodies, 'step').map(({ node_name, phase }) => `${node_name} ${phase}`),
    [
      'decompose start',
      'decompose end',
      'chart_generation start',
      'query_database start',
      'query_database end',
      'chart_generation end',
    ],
  )
  const tools = of(bodies, 'tool')
  assert.deepEqual(
    tools.map(({ stage }) => stage),
    ['requested', 'started', 'completed'],
  )
  assert.ok(tools[0])
  const { sql, params } = tools[0].arguments as { sql: string; params: string[] }
  assert.equal(database.prepare(sql).all(...params).length, output.rows.length)
  assert.partialDeepStrictEqual(tools[2]?.result, { row_count: 3 })
})

test('a cancelled question ends with its reason before the next piece of work', async () => {
  const controller = new AbortController()
  controller.abort(new Error('enough'))
  await assert.rejects(answer('sales by region', {}, controller.signal), /enough/)
})

test('an input without a question is refused as invalid_input', async () => {
  const agent = salesAnalyst({} as { question: string }, new AbortController().signal, {})
  await assert.rejects(
    agent.next(),
    (thrown: unknown) => thrown instanceof RuncastError && thrown.code === 'invalid_input',
  )
})

interface Seen {
  headers: IncomingHttpHeaders
  body: { model: string; messages: { content: string }[] }
}

/** An OpenAI-compatible endpoint on loopback: one reply per call, in turn. */
async function endpoint(replies: ((response: ServerResponse) => void)[]) {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk
    })
    request.on('end', () => {
      seen.push({ headers: request.headers, body: JSON.parse(body) as Seen['body'] })
      replies[seen.length - 1]?.(response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const environment = {
    OPENAI_BASE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`,
    OPENAI_API_KEY: 'sk-secret',
    RUNCAST_MODEL: 'tiny',
  }
  return {
    seen,
    environment,
    [Symbol.asyncDispose]: async () => void (server.closeAllConnections(), server.close(), await once(server, 'close')),
  }
}

const says =
  (parts: string[], end = 'data: [DONE]\n\n') =>
  (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const chunk = (fields: object) =>
      response.write(`data: ${JSON.stringify({ id: 'chatcmpl-1', model: 'tiny-1', ...fields })}\n\n`)
    for (const content of parts) chunk({ choices: [{ index: 0, delta: { content } }] })
    if (end !== '') {
      chunk({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
      chunk({ choices: [], usage: { prompt_tokens: 100, completion_tokens: 7, total_tokens: 107 } })
    }
    response.end(end)
  }

test('with an endpoint the model makes the plan, explains in tokens, and its usage is metered', async () => {
  const plan = '{"measure":"profit","by":["region"]}'
  await using model = await endpoint([says(['Here: ```json\n', plan, '\n```']), says(['Profit ', 'is é', 'ven.'])])
  const { bodies, output } = await answer('wie viel Gewinn pro Region?', model.environment)
  assert.equal(of(bodies, 'chart')[0]?.title, 'Profit by region')
  assert.deepEqual(
    of(bodies, 'token').map(({ content, llm_request_id, model: name }) => [content, llm_request_id, name]),
    [
      ['Profit ', 'chatcmpl-1', 'tiny-1'],
      ['is é', 'chatcmpl-1', 'tiny-1'],
      ['ven.', 'chatcmpl-1', 'tiny-1'],
    ],
  )
  const metrics = of(bodies, 'metrics')
  assert.deepEqual(
    metrics.map(({ scope, scope_id }) => [scope, scope_id]),
    [
      ['llm', 'decompose'],
      ['llm', 'explain'],
    ],
  )
  assert.deepEqual(metrics[1]?.metrics['total_tokens'], { value: 107, unit: 'tokens', kind: 'counter' })
  assert.ok(output.answer.endsWith('Profit is éven.'))
  assert.equal(model.seen[0]?.headers.authorization, 'Bearer sk-secret')
  assert.equal(model.seen[0]?.body.model, 'tiny')
  assert.ok(model.seen[1]?.body.messages[1]?.content.includes('"West"'), 'the figures are put before the model')
  assert.ok(!JSON.stringify(bodies).includes('sk-secret'))
})

test('a plan that fails the checks is refused with a warning and the parser answers; so does an endpoint that is down', async () => {
  const unknownCity = '{"measure":"sales","by":["region"],"filters":[{"field":"city","values":["Paris"]}]}'
  const down = (response: ServerResponse) => void response.writeHead(500).end('sk-secret')
  for (const bad of [says([unknownCity]), says(['no json']), says(['{"measure":"sales"'], ''), down]) {
    await using model = await endpoint([bad, down])
    const { bodies, output } = await answer('sales by category', model.environment)
    assert.deepEqual(
      of(bodies, 'warning').map(({ code, recoverable }) => [code, recoverable]),
      [
        ['llm_plan_refused', true],
        ['llm_unavailable', true],
      ],
    )
    assert.equal(of(bodies, 'chart')[0]?.title, 'Sales by category')
    assert.equal(output.rows.length, 3)
    assert.ok(!JSON.stringify(bodies).includes('sk-secret'))
  }
})

test('an explanation that is cut off keeps its words and ends with a warning, not as if it were whole', async () => {
  await using model = await endpoint([says(['{"measure":"sales","by":["region"]}']), says(['Half a sen'], '')])
  const { bodies } = await answer('sales', model.environment)
  assert.deepEqual(
    of(bodies, 'token').map(({ content }) => content),
    ['Half a sen'],
  )
  assert.match(of(bodies, 'warning')[0]?.message ?? '', /cut off before its end/)
})

test('a cancel while the model is silent ends the answer with its reason', async () => {
  const controller = new AbortController()
  await using model = await endpoint([() => controller.abort(new Error('enough'))])
  await assert.rejects(answer('sales', model.environment, controller.signal), /enough/)
})

test('a plan of a model is held to the tables, the data and the same rules as the parser', () => {
  assert.deepEqual(readPlan('{"cannot":"It is about the weather."}', vocabulary), {
    cannot: 'It is about the weather.',
  })
  for (const text of [
    '',
    '{}',
    '{"measure":"sales; DROP","by":["region"]}',
    '{"measure":"sales","by":["state","city"]}',
    '{"measure":"sales","by":["region"],"sql":"x"}',
  ]) {
    assert.throws(
      () => readPlan(text, vocabulary),
      (thrown: unknown) => thrown instanceof RuncastError && thrown.code === 'invalid_input',
    )
  }
})
