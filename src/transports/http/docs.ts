// The docs page: the OpenAPI document as one readable page, without a script and without a download.

interface Parameter {
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly description?: string
  readonly schema?: unknown
}
interface Body {
  readonly content?: Readonly<Record<string, { readonly schema?: unknown }>>
}
interface Operation {
  readonly summary?: string
  readonly tags?: readonly string[]
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: Body
  readonly responses?: Readonly<Record<string, Body & { readonly description?: string }>>
}
interface OpenApi {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string }
  readonly paths: Record<string, Record<string, Operation>>
}

export function docsPage({ info, paths }: OpenApi): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => operationHtml(method, path, operation)),
  )
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="favicon.svg"><title>${text(info.title)} API</title><style>${style}</style></head><body><main>
<h1>${text(info.title)} <small>${text(info.version)}</small></h1><p>${text(info.description ?? '')}
Machine readable: <a href="openapi.json">openapi.json</a></p>${operations.join('')}</main></body></html>`
}

function operationHtml(method: string, path: string, operation: Operation): string {
  const { summary = '', parameters = [], requestBody, responses = {} } = operation
  const rows = parameters.map(
    ({ name, in: where, required, description = '', schema }) =>
      `<tr><th scope="row"><code>${text(name)}</code></th><td>${where}${required ? ', required' : ''}</td><td>${text(description)}</td><td><code>${text(typeText(schema))}</code></td></tr>`,
  )
  const answers = Object.entries(responses).map(([status, { description = '', content }]) =>
    schemaHtml(`${status}: ${description}${content ? ` (${Object.keys(content).join(', ')})` : ''}`, content),
  )
  return `<section><h2><span class="${method}">${method.toUpperCase()}</span> <code>${text(path)}</code></h2><p>${text(summary)}</p>
${rows.length > 0 ? `<table>${rows.join('')}</table>` : ''}${requestBody ? schemaHtml('Body', requestBody.content) : ''}${answers.join('')}</section>`
}

function schemaHtml(title: string, content: Body['content']): string {
  const schema = content?.['application/json']?.schema
  if (!schema) return `<p>${text(title)}</p>`
  return `<details><summary>${text(title)}</summary><pre>${text(JSON.stringify(schema, null, 2))}</pre></details>`
}

function typeText(schema: unknown): string {
  const { type, enum: values } = (schema ?? {}) as { type?: string; enum?: readonly string[] }
  return values?.join(' | ') ?? type ?? 'any'
}

function text(raw: string): string {
  return raw.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`)
}

const style = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif;color:light-dark(#111,#eee);background:light-dark(#fff,#141414)}
main{max-width:60rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}a{color:light-dark(#2038c0,#a4b4ff)}
section{border-top:1px solid #8884;padding:.5rem 0}h2{font-size:1.1rem}h2 span{font-weight:700;color:light-dark(#064,#7fc)}.delete{color:light-dark(#a00,#f99)!important}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.2rem .6rem .2rem 0;vertical-align:top;font-weight:400}pre{overflow:auto;background:#8882;padding:.8rem}small{opacity:.7}
@media(max-width:40rem){tr{display:block;padding:.3rem 0}th,td{display:inline;padding-right:.6rem}}`
