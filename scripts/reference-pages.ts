import { configSchema } from '../packages/proxy/src/config/schema.ts'
import type { SchemaNode } from '../packages/proxy/src/config/walk.ts'
import { expectation } from '../packages/proxy/src/config/walk-scalars.ts'
import { PROXY_ERRORS } from '../packages/proxy/src/http/proxy-error.ts'
import { METRICS, type MetricRow } from '../packages/proxy/src/observability/metrics-table.ts'

interface Section {
  readonly path: string
  readonly schema: SchemaNode
}

export function optionsPage(): string {
  const lines = [
    '# Options',
    '',
    'Written by `npm run docs` from the schema in `packages/proxy/src/config/schema.ts`; also as',
    '[JSON Schema](options.schema.json). The file is YAML or JSON. Durations and sizes carry their unit: `250ms`,',
    '`30s`, `5m`, `24h`, `7d`, `2w`; `64KiB`, `256MiB`, `10GiB` (powers of 1024), `1MB` (of 1000). "Reload" says',
    'whether a reload changes the option or it waits for a restart.',
  ]
  // TypeBox's types describe the result; here the schema is read as the JSON Schema that it also is.
  const pending: Section[] = [{ path: '', schema: configSchema as unknown as SchemaNode }]
  for (let section = pending.shift(); section !== undefined; section = pending.shift()) {
    lines.push('', `## ${section.path === '' ? 'Top level' : `\`${section.path}\``}`, '')
    lines.push('| Option | Type | Default | Meaning | Reload |', '|---|---|---|---|---|')
    const inner: Section[] = []
    for (const [name, schema] of Object.entries(section.schema.properties ?? {})) {
      const path = section.path === '' ? name : `${section.path}.${name}`
      lines.push(optionRow(name, schema, (section.schema.required ?? []).includes(name)))
      inner.push(...sectionsOf(path, schema))
    }
    // Depth first: a section stands right below the one that names it.
    pending.unshift(...inner)
  }
  return `${lines.join('\n')}\n`
}

export function optionsSchema(): string {
  const published = { $schema: 'https://json-schema.org/draft/2020-12/schema', ...configSchema }
  return `${JSON.stringify(published, null, 2)}\n`
}

export function metricsPage(): string {
  const lines = [
    '# Metrics',
    '',
    'Written by `npm run docs` from `packages/proxy/src/observability/metrics-table.ts`. Served by the admin API at',
    '`/metrics` in the Prometheus text format. A metric has at most 1,000 label sets; more are counted under `other`.',
    '',
    '| Metric | Type | Labels | Meaning |',
    '|---|---|---|---|',
  ]
  // The table's type lists each row's literal values; here a row is any row.
  for (const { name, type, labels, help } of METRICS as readonly MetricRow[]) {
    const labelText = labels.map((label) => `\`${label}\``).join(', ')
    lines.push(`| \`${name}\` | ${type} | ${labelText} | ${cell(help)} |`)
  }
  return `${lines.join('\n')}\n`
}

export function errorsPage(): string {
  const lines = [
    '# Errors',
    '',
    'Written by `npm run docs` from `packages/proxy/src/http/proxy-error.ts`. The access log names an error by its type of',
    'RFC 9209 where it has one, else by its code, in the field `error`; `Proxy-Status` carries the type. Codes are never',
    'used again for something else. `…` stands for what differs from case to case.',
    '',
    '| Code | Source | Status | Proxy-Status | Repeated | Message |',
    '|---|---|---|---|---|---|',
  ]
  for (const [code, row] of Object.entries(PROXY_ERRORS)) {
    const repeated = row.retry === 'safe' ? 'safe methods' : ''
    const type = row.proxyStatus === null ? '' : `\`${row.proxyStatus}\``
    const message = cell(row.message.replaceAll('%s', '…'))
    lines.push(
      `| \`${code}\` | ${row.source} | ${row.status} | ${type} | ${repeated} | ${message} |`,
    )
  }
  return `${lines.join('\n')}\n`
}

function optionRow(name: string, schema: SchemaNode, isRequired: boolean): string {
  const standard = isRequired
    ? 'required'
    : schema.default === undefined
      ? ''
      : `\`${JSON.stringify(schema.default).replaceAll('"', '')}\``
  const meaning = [schema.description ?? '', bounds(schema)].filter((text) => text !== '').join(' ')
  const hasRows = schema.type === 'object'
  const reload = hasRows ? '' : schema.restart ? 'restart' : 'yes'
  return `| \`${name}\` | ${cell(typeName(schema))} | ${cell(standard)} | ${cell(meaning)} | ${reload} |`
}

function bounds(schema: SchemaNode): string {
  const least = schema.min ?? schema.minimum
  const greatest = schema.max ?? schema.maximum
  return least === undefined || greatest === undefined ? '' : `From ${least} to ${greatest}.`
}

function typeName(schema: SchemaNode): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeName).join(' or ')
  if (schema.kind !== undefined) return schema.kind.replaceAll('-', ' ')
  if (schema.type === 'array') return `list of ${typeName(schema.items ?? {})}`
  if (schema.type === 'object') return 'object'
  return expectation(schema).replace(/^an? /, '')
}

function sectionsOf(path: string, schema: SchemaNode): Section[] {
  if (schema.type === 'object') return [{ path, schema }]
  if (schema.type === 'array') return sectionsOf(`${path}[]`, schema.items ?? {})
  return (schema.anyOf ?? []).flatMap((branch) => sectionsOf(path, branch))
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}
