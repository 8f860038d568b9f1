import { DATES, TARGETS } from './world.ts'

/** A seeded generator (mulberry32): the same seed gives the same requests on every machine. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) % bound
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]
  }
}

export interface GeneratedRequest {
  readonly method: string
  readonly target: string
  readonly host: string
  readonly fields: readonly (readonly [string, string])[]
}

const HOSTS = ['www.test', 'WWW.test', 'www.test:80', 'www.test.', 'a.img.test', 'other.test', 'x']
const TAGS = ['"a,b"', '"x"', 'W/"w"', '"w"', '*', '"m"', '"x", "a,b"', 'a,b', '"l"', '"e"']

const FIELDS: readonly (readonly [string, readonly string[]])[] = [
  ['if-none-match', TAGS],
  ['if-modified-since', DATES],
  ['accept-encoding', ['gzip', 'gzip, br', 'br,gzip', 'gzip;q=0', 'identity', 'junk', '', '*']],
  ['accept-language', ['de', 'de, en', 'en,de', 'fr;q=0.5, de', 'en']],
  [
    'cache-control',
    ['no-cache', 'max-age=5', 'max-age=20', 'max-stale', 'min-fresh=55', 'no-store'],
  ],
  ['pragma', ['no-cache']],
  ['range', ['bytes=0-1', 'bytes=-2', 'bytes=9999999-', 'bytes=0-0,2', 'junk']],
  ['if-range', ['"l"', '"x"', DATES[0]]],
  ['if-match', ['"x"']],
  ['x-foo', ['1,2', '1, 2', '2']],
  ['x-key', ['1', '2']],
  ['accept', ['*/*']],
  ['cookie', ['a=b']],
  ['authorization', ['Basic eDp5']],
  ['user-agent', ['test']],
  ['via', ['1.1 larder-test', '1.1 other']],
  ['te', ['trailers']],
]

/** Most of them reuse a stored response; the rest goes every other way. */
export function generateRequest(random: Random): GeneratedRequest {
  const fields: [string, string][] = []
  while (!random.chance(3) && fields.length < 6) {
    const [name, values] = random.pick(FIELDS)
    fields.push([name, random.pick(values)])
  }
  return {
    method: random.pick(['GET', 'GET', 'GET', 'GET', 'HEAD', 'OPTIONS', 'get']),
    target: spelling(random.pick(TARGETS), random),
    host: random.chance(4) ? random.pick(HOSTS) : 'www.test',
    fields,
  }
}

/** The same target as others write it. */
function spelling(target: string, random: Random): string {
  if (!random.chance(6)) return target
  return random.pick([
    target.replace('a', '%61'),
    `/./${target.slice(1)}`,
    `/x/..${target}`,
    `${target}?`,
    `http://www.test${target}`,
    `${target}?a=1`,
    `/${target}`,
  ])
}

export function http1Bytes(request: GeneratedRequest, last: boolean, random: Random): Buffer {
  const version = random.chance(20) ? '1.0' : '1.1'
  let text = `${request.method} ${request.target} HTTP/${version}\r\nHost: ${request.host}\r\n`
  for (const [name, value] of request.fields) {
    text += `${random.chance(3) ? name.toUpperCase() : name}: ${value}\r\n`
  }
  if (last) text += 'Connection: close\r\n'
  return Buffer.from(`${text}\r\n`, 'latin1')
}

/** Changes, removes or doubles a few octets. */
export function mutate(bytes: Buffer, random: Random): Buffer {
  let mutated = Buffer.from(bytes)
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(mutated.length)
    switch (random.below(3)) {
      case 0:
        mutated[at] = random.pick([0, 9, 10, 13, 32, 44, 58, 59, 127, 255, random.below(256)])
        break
      case 1:
        mutated = Buffer.concat([mutated.subarray(0, at), mutated.subarray(at + 1)])
        break
      default:
        mutated = Buffer.concat([mutated.subarray(0, at + 1), mutated.subarray(at)])
    }
  }
  return mutated
}
