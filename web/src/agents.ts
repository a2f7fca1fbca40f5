// What one may send to each agent, read from its JSON Schema: where the words of a message go, and what to suggest.

export interface JsonSchema {
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly examples?: readonly unknown[]
  readonly anyOf?: readonly JsonSchema[]
}
export interface SchemaAnswer {
  readonly agents: readonly { readonly name: string; readonly input?: JsonSchema }[]
}
export interface InfoAnswer {
  /** The runs are others': nobody can be asked here. */
  readonly read_only?: boolean
  readonly agents: readonly { readonly name: string; readonly description?: string }[]
}

export interface AgentChoice {
  readonly name: string
  readonly description?: string
  /** Where the words of a message go: a field, the whole input, or nowhere: then a message is JSON, or empty. */
  readonly takes: { readonly field: string } | 'text' | 'json'
  readonly examples: readonly string[]
}

/** What a server offers to who comes to it. */
export interface Offer {
  readonly agents: readonly AgentChoice[]
  readonly readOnly: boolean
}

export function agentChoices(schemas: SchemaAnswer, info: InfoAnswer): AgentChoice[] {
  return schemas.agents.map(({ name, input = {} }) => {
    const takes = takesOf(input)
    const description = info.agents.find(agent => agent.name === name)?.description
    return { name, ...(description !== undefined && { description }), takes, examples: examplesOf(input, takes) }
  })
}

/** What is sent when a person writes this. */
export function inputFor({ takes }: AgentChoice, words: string): unknown {
  if (takes === 'text') return words
  if (takes !== 'json') return { [takes.field]: words }
  if (words.trim() === '') return {}
  try {
    return JSON.parse(words)
  } catch {
    return { text: words }
  }
}

function takesOf(schema: JsonSchema): AgentChoice['takes'] {
  const own = schema.anyOf?.find(one => one.properties) ?? schema
  if (isString(own)) return 'text'
  const fields = Object.entries(own.properties ?? {}).filter(([, field]) => isString(field))
  const [first] = fields.find(([name]) => own.required?.includes(name)) ?? fields[0] ?? []
  if (first !== undefined) return { field: first }
  // An agent that says nothing about its input usually reads `text`.
  return own.properties === undefined ? { field: 'text' } : 'json'
}

function examplesOf(schema: JsonSchema, takes: AgentChoice['takes']): string[] {
  const field = typeof takes === 'object' ? takes.field : undefined
  const ofField = field === undefined ? [] : (schema.properties?.[field]?.examples ?? [])
  const whole = (schema.examples ?? []).map(one =>
    field !== undefined && typeof one === 'object' && one !== null ? (one as Record<string, unknown>)[field] : one,
  )
  return [...ofField, ...whole].filter((one): one is string => typeof one === 'string')
}

function isString({ type }: JsonSchema): boolean {
  return type === 'string' || (Array.isArray(type) && type.includes('string'))
}
