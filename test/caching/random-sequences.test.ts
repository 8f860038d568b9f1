import fc from 'fast-check'
import { freshPath } from '../support/asserts.ts'
import type { ClientExchange } from '../support/client.ts'
import { type Edge, onBoth } from '../support/edge.ts'
import type { FieldValues } from '../support/message-reader.ts'
import type { OriginRequest, Wire } from '../support/scripted-origin.ts'

const MAX_AGE_SECONDS = 10
const RUNS = 300

type Step =
  | { readonly do: 'get' | 'head' | 'change' | 'update' | 'cut next' }
  | { readonly do: 'range'; readonly first: number; readonly last: number }
  | { readonly do: 'condition'; readonly version: number }
  | { readonly do: 'advance'; readonly seconds: number }

/** Ranges begin and end at tens, so that they often touch. */
const ten = fc.nat({ max: 3 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('get' as const, 'head' as const) }) },
  {
    weight: 5,
    arbitrary: fc.tuple(ten, ten).map(([a, b]) => ({
      do: 'range' as const,
      first: Math.min(a, b) * 10,
      last: Math.max(a, b) * 10 + 9,
    })),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('condition' as const), version: fc.nat({ max: 4 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('advance' as const), seconds: fc.nat({ max: 12 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('change' as const, 'update' as const, 'cut next' as const),
    }),
  },
)

/** A representation that changes, on an origin that knows ranges and conditions, and sometimes cuts its answer. */
class Resource {
  version = 0
  cutNext = false
  hasJustCut = false
  /** Epoch ms until which each version was the current one; a missing one still is. */
  readonly #endedAt: number[] = []

  bodyOf(version: number): Buffer {
    return Buffer.from(`${version}`.repeat(40))
  }

  change(now: number): void {
    this.#endedAt[this.version] = now
    this.version++
  }

  /** Nobody may be shown a version that has not been the current one for longer than it was fresh. */
  mayBeShown(version: number, now: number): boolean {
    if (version > this.version) return false
    const endedAt = this.#endedAt[version] ?? Number.POSITIVE_INFINITY
    return now - endedAt < MAX_AGE_SECONDS * 1000
  }

  answer(wire: Wire, { method, fields }: OriginRequest): void {
    const tag = `"${this.version}"`
    const lines: FieldValues = { 'Cache-Control': `max-age=${MAX_AGE_SECONDS}`, ETag: tag }
    if (method === 'POST') return void wire.answer({ status: 204 })
    if (fields.get('if-none-match') === tag) return void wire.answer({ status: 304, fields: lines })
    const body = this.bodyOf(this.version)
    const range = /^bytes=(\d+)-(\d+)$/.exec(fields.get('range') ?? '')
    const applies = range !== null && (fields.get('if-range') ?? tag) === tag
    const [first, last] = applies ? [Number(range[1]), Number(range[2])] : [0, body.length - 1]
    const part = body.subarray(first, last + 1)
    const own = applies
      ? { ...lines, 'Content-Range': `bytes ${first}-${last}/${body.length}` }
      : lines
    const status = applies ? 206 : 200
    if (!this.cutNext) return void wire.answer({ status, fields: own, body: part })
    this.cutNext = false
    this.hasJustCut = true
    const { length } = part
    wire.head(status, { ...own, 'Content-Length': String(length) })
    wire.write(part.subarray(0, length >> 1)).end()
  }
}

onBoth(
  `no wrong, mixed or outdated bytes in ${RUNS} random sequences (RFC 9111 §4)`,
  async (t, edge) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 15, maxLength: 40 }), async (steps) => {
        const path = freshPath()
        const resource = new Resource()
        edge.origin.answers(path, (wire, request) => resource.answer(wire, request))
        let knownToBeGone = 0
        for (const one of steps) {
          resource.hasJustCut = false
          const answer = await perform(edge, path, resource, one)
          if (one.do === 'update') knownToBeGone = resource.version
          // A part that could not be completed because of the cut has no answer but this one.
          if (answer === null || (answer.status === 502 && resource.hasJustCut)) continue
          check(answer, one, resource, edge.clock.ms, knownToBeGone)
        }
      }),
      { numRuns: RUNS, seed: 3 },
    )
    t.pass('every answer was right')
  },
)

async function perform(
  { get, head, request, clock }: Edge,
  path: string,
  resource: Resource,
  one: Step,
): Promise<ClientExchange | null> {
  switch (one.do) {
    case 'get':
      return get(path)
    case 'head':
      return head(path)
    case 'range':
      return get(path, { Range: `bytes=${one.first}-${one.last}` })
    case 'condition':
      return get(path, { 'If-None-Match': `"${one.version}"` })
    case 'advance':
      clock.advanceSeconds(one.seconds)
      return null
    case 'change':
      resource.change(clock.ms)
      return null
    case 'update':
      resource.change(clock.ms)
      await request({ method: 'POST', path, body: 'x' })
      return null
    case 'cut next':
      resource.cutNext = true
      return null
  }
}

function check(
  answer: ClientExchange,
  asked: Step,
  resource: Resource,
  now: number,
  oldest: number,
): void {
  const { status, fields, body, cut } = answer
  const fail = (what: string) => {
    throw new Error(`${what}: ${status} ${JSON.stringify([...fields])} ${body}`)
  }
  const version = Number(/^"(\d+)"$/.exec(fields.get('etag') ?? '')?.[1])
  // What the origin cut is cut at the client: a prefix of the right bytes, and seen as such.
  if (cut && status === 0) return
  if (!resource.mayBeShown(version, now) || version < oldest) fail('outdated')
  const whole = resource.bodyOf(version)
  if (status === 304) {
    if (asked.do !== 'condition' || asked.version !== version) fail('an unasked 304')
    return
  }
  const isPart = status === 206 && asked.do === 'range'
  if (status !== 200 && !isPart) fail('an odd status')
  const expected =
    asked.do === 'range' && isPart ? whole.subarray(asked.first, asked.last + 1) : whole
  const received = asked.do === 'head' ? whole : body
  if (!(cut ? expected.subarray(0, received.length) : expected).equals(received))
    fail('wrong bytes')
  if (fields.get('content-length') !== String(expected.length)) fail('a wrong length')
}
