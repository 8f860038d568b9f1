import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { TimerWheel } from '../timer-wheel.ts'
import { Output } from './output.ts'
import type { Teardown } from './support/server-under-test.ts'

interface Pair {
  output: Output
  near: Socket
  far: Socket
  progressed(): Promise<void>
}

async function pair(t: Teardown, onStall: () => void, wheel: TimerWheel): Promise<Pair> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no address')
  const accepted = once(server, 'connection')
  const far = connect(address.port, '127.0.0.1')
  const [near] = await accepted
  let progress = Promise.withResolvers<void>()
  const onProgress = () => {
    progress.resolve()
    progress = Promise.withResolvers()
  }
  const output = new Output(near, wheel, 1000, onProgress, onStall)
  t.teardown(() => {
    near.destroy()
    far.destroy()
    server.close()
  })
  return { output, near, far, progressed: () => progress.promise }
}

t.test('octets leave in the order in which they were said, whatever the sizes', async (t) => {
  const { output, far, progressed } = await pair(t, () => t.fail('stalled'), new TimerWheel())
  let received: Buffer[] = []
  let bytes = 0
  let arrival = Promise.withResolvers<void>()
  far.on('data', (chunk: Buffer) => {
    received.push(chunk)
    bytes += chunk.length
    arrival.resolve()
    arrival = Promise.withResolvers()
  })
  const sizes = fc.oneof(
    fc.integer({ min: 1, max: 200 }),
    fc.integer({ min: 10_000, max: 20_000 }),
    fc.integer({ min: 60_000, max: 400_000 }),
  )
  const says = fc.array(
    fc.record({
      size: sizes,
      how: fc.constantFrom('append', 'text', 'reserve'),
      flush: fc.boolean(),
    }),
    { minLength: 1, maxLength: 20 },
  )
  let mark = 0
  await fc.assert(
    fc.asyncProperty(says, async (parts) => {
      received = []
      bytes = 0
      const expected: Buffer[] = []
      for (const { size, how, flush } of parts) {
        const octets = Buffer.alloc(size, String.fromCharCode(97 + (mark++ % 26)))
        expected.push(octets)
        if (how === 'text') output.appendText(octets.toString('latin1'))
        else if (how === 'reserve' && size <= 20_000) {
          const buffer = output.reserve(size)
          octets.copy(buffer, output.offset)
          output.advanceTo(output.offset + size)
        } else output.append(octets)
        if (flush) output.flush()
        else output.flushSoon()
        if (output.full) await progressed()
      }
      const all = Buffer.concat(expected)
      while (bytes < all.length) await arrival.promise
      while (!output.empty) await progressed()
      return Buffer.concat(received).equals(all)
    }),
    { numRuns: 60, seed: 7 },
  )
})

t.test(
  'a reader that takes a piece now and then is waited for, one that stops is not',
  async (t) => {
    let now = 1
    const wheel = new TimerWheel(() => now)
    let stalls = 0
    const { output, far, near, progressed } = await pair(t, () => stalls++, wheel)
    far.pause()
    output.append(Buffer.alloc(32 * 1024 * 1024))
    output.flush()
    const advance = (ms: number) => {
      for (const until = now + ms; now < until; ) {
        now += 100
        wheel.advance()
      }
    }
    const blocked = async () => {
      for (let before = -1; before !== near.bytesWritten; ) {
        before = near.bytesWritten
        for (let i = 0; i < 20; i++) await new Promise(setImmediate)
      }
    }
    for (let i = 0; i < 5; i++) {
      await blocked()
      advance(800)
      const piece = progressed()
      far.resume()
      await piece
      far.pause()
    }
    await blocked()
    t.equal(stalls, 0)
    t.notOk(output.empty)
    advance(1300)
    t.equal(stalls, 1)
  },
)
