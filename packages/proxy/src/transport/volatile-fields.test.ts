import t from 'tap'
import { Clock } from '../http/clock.ts'
import type { ReadyAnswer } from './exchange.ts'
import { MAX_VOLATILE_BYTES, writeVolatileHpack, writeVolatileHttp1 } from './volatile-fields.ts'

const START_MS = Date.UTC(2026, 10, 20, 8, 0, 0)

function answerOf(ageBaseAt: number, freshUntilAt: number): ReadyAnswer {
  return { status: 200, http1Head: '', hpackHead: '', body: null, ageBaseAt, freshUntilAt }
}

for (const { name, ageMs, ttlMs, age, ttl } of [
  { name: 'a new response', ageMs: 0, ttlMs: 60_000, age: '0', ttl: '60' },
  { name: 'Age is rounded down and ttl up', ageMs: 10_999, ttlMs: 9_999, age: '10', ttl: '10' },
  {
    name: 'a clock that went back never makes Age negative',
    ageMs: -5000,
    ttlMs: 1,
    age: '0',
    ttl: '1',
  },
  {
    name: 'a stale response has a negative ttl (RFC 9211 §2.5)',
    ageMs: 1000,
    ttlMs: -100_500,
    age: '1',
    ttl: '-100',
  },
]) {
  t.test(`${name}: Age and Cache-Status`, async (t) => {
    const clock = new Clock(() => START_MS)
    const answer = answerOf(START_MS - ageMs, START_MS + ttlMs)
    const buffer = Buffer.alloc(MAX_VOLATILE_BYTES + 7)
    const http1 = buffer.toString('latin1', 7, writeVolatileHttp1(buffer, 7, answer, clock))
    t.equal(http1, `age: ${age}\r\ncache-status: Larder; hit; ttl=${ttl}\r\n`)
    const hpack = buffer.toString('latin1', 7, writeVolatileHpack(buffer, 7, answer, clock))
    const status = `Larder; hit; ttl=${ttl}`
    t.equal(
      hpack,
      `\x0f\x06${String.fromCharCode(age.length)}${age}` +
        `\x00\x0ccache-status${String.fromCharCode(status.length)}${status}`,
    )
  })
}

t.test('Age and ttl follow the clock', async (t) => {
  let now = START_MS
  const clock = new Clock(() => now)
  const answer = answerOf(START_MS, START_MS + 100_000)
  const buffer = Buffer.alloc(MAX_VOLATILE_BYTES)
  writeVolatileHttp1(buffer, 0, answer, clock)
  now += 2000
  clock.tick()
  const text = buffer.toString('latin1', 0, writeVolatileHttp1(buffer, 0, answer, clock))
  t.equal(text, 'age: 2\r\ncache-status: Larder; hit; ttl=98\r\n')
})

t.test('absurd instants stay within the promised size', async (t) => {
  const clock = new Clock(() => START_MS)
  const buffer = Buffer.alloc(MAX_VOLATILE_BYTES)
  const answer = answerOf(-1e30, -1e30)
  t.ok(writeVolatileHttp1(buffer, 0, answer, clock) <= MAX_VOLATILE_BYTES)
  t.ok(writeVolatileHpack(buffer, 0, answer, clock) <= MAX_VOLATILE_BYTES)
})
