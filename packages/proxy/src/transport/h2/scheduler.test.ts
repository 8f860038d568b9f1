import t, { type Test } from 'tap'
import { Fields } from '../../http/fields.ts'
import { FRAME } from './frame.ts'
import { parsePriority } from './priority.ts'
import { get, type Line } from './test-support/block.ts'
import { startEngine } from './test-support/engine-server.ts'
import { frame, headers, RawClient, uint32, windowUpdate } from './test-support/raw-client.ts'
import { ScriptedDoor } from './test-support/scripted-door.ts'

const CONTENT = 40_000

/** Ids of the DATA frames in the order in which they come when the connection window opens for all at once. */
async function order(t: Test, requests: [id: number, ...Line[]][], update: Buffer[] = []) {
  const door = new ScriptedDoor()
  door.onExchange = (exchange) =>
    exchange.respond({ status: 200, fields: new Fields() }, Buffer.alloc(CONTENT))
  const server = await startEngine(door)
  t.teardown(() => server.close())
  const client = await RawClient.connect(server.port)
  t.teardown(() => client.destroy())
  // A first response uses up the connection window.
  client.send(headers(1, get('/')), headers(3, get('/')))
  await client.response(1)
  await client.roundTrip()
  client.send(...update, ...requests.map(([id, ...lines]) => headers(id, get('/', ...lines))))
  await client.roundTrip()
  const before = client.frames.length
  client.send(windowUpdate(0, 1_000_000))
  for (const [id] of requests) await client.response(id)
  const ids = client.frames
    .slice(before)
    .filter(client.ofType(FRAME.data))
    .map((f) => f.streamId)
  return ids.filter((id, i) => id > 3 && id !== ids[i - 1])
}

t.test('the more urgent response comes first (RFC 9218 §10)', async (t) => {
  const ids = await order(t, [[5, ['priority', 'u=6']], [7], [9, ['priority', 'u=0']]])
  t.strictSame(ids, [9, 7, 5])
})

t.test('responses that are of use only whole come one after the other', async (t) => {
  t.strictSame(await order(t, [[5], [7], [9]]), [5, 7, 9])
})

t.test('incremental responses take turns', async (t) => {
  const i: Line = ['priority', 'u=3, i']
  t.strictSame(
    await order(t, [
      [5, i],
      [7, i],
    ]),
    [5, 7, 5, 7, 5, 7],
  )
})

t.test('PRIORITY_UPDATE counts, before the request and after it (RFC 9218 §7.1)', async (t) => {
  const update = (id: number, text: string) =>
    frame(FRAME.priorityUpdate, 0, 0, Buffer.concat([uint32(id), Buffer.from(text)]))
  const ids = await order(
    t,
    [[5], [7], [9, ['priority', 'u=2']]],
    [update(7, 'u=1'), update(3, 'u=7')],
  )
  t.strictSame(ids, [7, 9, 5])
})

for (const [text, expected] of [
  ['', 3],
  ['u=0', 0],
  ['u=7, i', 15],
  ['i=?1', 11],
  ['i, i=?0', 3],
  ['u=8', 3],
  ['u=-1, x="y", i;a=b', 11],
  ['garbage\xff,,u=5', 5],
  [`u=5${' '.repeat(300)}`, 3],
] as const) {
  t.test(`priority "${text.slice(0, 20)}" (RFC 9218 §4)`, async (t) => {
    t.equal(parsePriority(text), expected)
  })
}
