import t from 'tap'
import { CircuitBreaker } from './circuit-breaker.ts'

function breakerByHand() {
  const hand = { ms: 0 }
  const breaker = new CircuitBreaker(() => hand.ms)
  const failTimes = (times: number) => {
    for (let i = 0; i < times; i++) breaker.failed(hand.ms)
  }
  /** ms until the next call is allowed, in steps of 1 ms. */
  const closedFor = () => {
    const from = hand.ms
    while (!breaker.allows()) hand.ms++
    return hand.ms - from
  }
  return { hand, breaker, failTimes, closedFor }
}

t.test('three failures in a row open the circuit, two with a success between do not', async (t) => {
  const { breaker, failTimes } = breakerByHand()
  failTimes(2)
  breaker.succeeded()
  failTimes(2)
  t.ok(breaker.allows())
  failTimes(1)
  t.notOk(breaker.allows())
})

t.test('a hundred calls that fail together are one failure, not a hundred', async (t) => {
  const { hand, breaker, failTimes, closedFor } = breakerByHand()
  for (let stall = 0; stall < 3; stall++) {
    t.ok(breaker.allows(), `after ${stall} stalls`)
    const startedAt = hand.ms
    hand.ms += 25
    for (let i = 0; i < 100; i++) breaker.failed(startedAt)
  }
  failTimes(100)
  const waitedMs = closedFor()
  t.ok(waitedMs >= 187 && waitedMs <= 313, `${waitedMs} ms: 250 ms with a quarter of jitter`)
})

t.test('half open, one call finds out', async (t) => {
  const { breaker, failTimes, closedFor } = breakerByHand()
  failTimes(3)
  closedFor()
  t.notOk(breaker.allows(), 'the one allowed is the only one')
  breaker.succeeded()
  t.ok(breaker.allows())
  t.ok(breaker.allows())
})

t.test('each failed try doubles the wait, to less than 4 s', async (t) => {
  const { hand, breaker, failTimes, closedFor } = breakerByHand()
  failTimes(3)
  const waits: number[] = []
  for (let tries = 0; tries < 8; tries++) {
    waits.push(closedFor())
    breaker.failed(hand.ms)
  }
  t.ok(waits[1] >= 375 && waits[1] <= 625, `second: ${waits[1]} ms`)
  t.ok(waits[2] >= 750 && waits[2] <= 1250, `third: ${waits[2]} ms`)
  t.ok(Math.max(...waits) < 4_000, `longest: ${Math.max(...waits)} ms`)
})

t.test('a call let through that never ends does not keep the circuit open', async (t) => {
  const { breaker, failTimes, closedFor } = breakerByHand()
  failTimes(3)
  closedFor()
  t.ok(closedFor() > 0)
  breaker.succeeded()
  t.ok(breaker.allows())
})
