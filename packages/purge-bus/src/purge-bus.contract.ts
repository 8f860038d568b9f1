import t, { type Test } from 'tap'
import {
  addWorkers,
  type BusUnderTest,
  stored,
  tagPurge,
  temporaryFolder,
  waitFor,
} from './test-support/bus-under-test.ts'

export interface BusSketch {
  readonly folder: string
  readonly maxQueued?: number
  readonly maxScheduled?: number
}

/** What every purge bus promises to the one machine that it runs on. */
export function purgeBusContract(
  name: string,
  options: { skip: string | boolean; timeout: number },
  prepare: (t: Test) => Promise<(t: Test, sketch: BusSketch) => Promise<BusUnderTest>>,
): void {
  const test = (
    title: string,
    run: (t: Test, open: (sketch?: Partial<BusSketch>) => Promise<BusUnderTest>) => Promise<void>,
  ) =>
    t.test(`${name}: ${title}`, options, async (t) => {
      const start = await prepare(t)
      const folder = temporaryFolder(t)
      await run(t, (sketch = {}) => start(t, { folder, ...sketch }))
    })

  test('what was stored before a purge is purged, what was fetched after it is not', async (t, open) => {
    const under = await open()
    addWorkers(under, 'w0')
    const before = under.bus.table.number
    const receipt = await under.bus.publish(tagPurge('p-42'), { waitMs: 10_000 })
    t.equal(under.bus.table.validity(stored(before, 'p-42')), 'purged')
    t.equal(under.bus.table.validity(stored(before, 'p-4')), 'valid')
    t.equal(under.bus.table.validity(stored(under.bus.table.number, 'p-42')), 'valid')
    t.equal(receipt.number, under.bus.table.number)
    t.match(receipt, { state: 'applied', machines: 1, workers: 1, missing: [] })
  })

  test('numbers rise, and each purge is told once', async (t, open) => {
    const { bus, heard } = await open()
    const tags = Array.from({ length: 200 }, (_, i) => `t-${i}`)
    const receipts = await Promise.all(tags.map((tag) => bus.publish(tagPurge(tag))))
    await waitFor(() => heard.purges.length >= tags.length)
    t.same(heard.tags, tags)
    t.same(
      heard.numbers,
      [...new Set(heard.numbers)].sort((a, b) => a - b),
    )
    t.same(
      receipts.map(({ number }) => number),
      heard.numbers,
    )
  })

  test('a receipt names who is missing, and waits no longer for who has ended', async (t, open) => {
    const { bus, heard } = await open()
    for (const worker of ['w0', 'w1', 'w2']) bus.addWorker(worker, bus.table.number)
    heard.onApplied = (number) => bus.acknowledge('w0', number)
    const early = await bus.publish(tagPurge('a'), { waitMs: 50 })
    t.match(early, { state: 'waiting', machines: 0, workers: 1, slowestMs: null })
    t.same(
      early.missing.map(({ worker, reason }) => [worker, reason]),
      [
        ['w1', 'late'],
        ['w2', 'late'],
      ],
    )
    bus.removeWorker('w2')
    bus.acknowledge('w1', early.number ?? 0)
    await waitFor(async () => (await bus.receipt(early.id))?.state === 'applied')
    const late = await bus.receipt(early.id)
    t.match(late, { state: 'applied', machines: 1, workers: 2, missing: [] })
    t.ok((late?.slowestMs ?? 0) >= 40, `slowest ${late?.slowestMs} ms`)
    t.equal(await bus.receipt('99999999999999'), null)
    t.equal(await bus.receipt('nonsense'), null)
  })

  test('the same reference is one purge and one receipt, also at the same time', async (t, open) => {
    const first = await open()
    const purge = tagPurge('a', { reference: 'deploy-7' })
    const receipts = await Promise.all([1, 2, 3].map(() => first.bus.publish(purge)))
    receipts.push(await first.bus.publish(purge))
    t.equal(new Set(receipts.map(({ id }) => id)).size, 1)
    const other = await first.bus.publish(tagPurge('a', { reference: 'deploy-8' }))
    t.not(other.id, receipts[0].id)
    await waitFor(() => first.heard.purges.length >= 2)
    t.equal(first.heard.purges.length, 2)
    await first.bus.stop()
    const second = await open()
    const again = await second.bus.publish(purge)
    t.equal(again.id, receipts[0].id, 'after a restart too')
  })

  test('a scheduled purge has its effect when it is due, once, and outlives a restart', async (t, open) => {
    const first = await open()
    const before = first.bus.table.number
    const at = Date.now() + 1_500
    const soon = await first.bus.publish(tagPurge('soon', { at }))
    const same = await first.bus.publish(tagPurge('soon', { at }))
    const later = await first.bus.publish(tagPurge('later', { at: at + 600_000 }))
    t.match(soon, { state: 'scheduled', number: null })
    t.equal(same.id, soon.id)
    t.equal(first.bus.table.validity(stored(before, 'soon')), 'valid')
    await first.bus.stop()
    const second = await open()
    addWorkers(second, 'w0')
    await waitFor(() => second.heard.tags.includes('soon') || second.bus.table.number > before)
    await waitFor(() => second.bus.table.validity(stored(before, 'soon')) === 'purged')
    t.ok(Date.now() >= at, 'not before its time')
    await waitFor(async () => (await second.bus.receipt(soon.id))?.state === 'applied')
    t.match(await second.bus.receipt(later.id), { state: 'scheduled' })
    t.equal(second.heard.tags.filter((tag) => tag === 'soon').length, 1)
    await second.bus.stop()
    const third = await open()
    t.notOk(third.heard.tags.includes('soon'), 'nor again')
    t.equal(third.bus.status().scheduled, 1)
  })

  test('scheduled purges are bounded', async (t, open) => {
    const { bus } = await open({ maxScheduled: 2 })
    const at = Date.now() + 600_000
    for (const tag of ['a', 'b']) await bus.publish(tagPurge(tag, { at }))
    await t.rejects(bus.publish(tagPurge('c', { at })), { code: 'PURGE_OVERLOAD' })
  })

  test('after a restart everything is known that was, and numbers go on', async (t, open) => {
    const first = await open()
    const before = first.bus.table.number
    for (const tag of ['a', 'b']) await first.bus.publish(tagPurge(tag), { waitMs: 5_000 })
    await first.bus.publish({
      type: 'url',
      urls: ['https://www.acme.test/a'],
      soft: true,
    })
    await waitFor(() => first.heard.purges.length === 3)
    const highest = first.bus.table.number
    await first.bus.stop()
    const second = await open()
    t.equal(second.bus.table.number, highest)
    t.equal(second.bus.table.validity(stored(before, 'a')), 'purged')
    t.equal(second.bus.table.validity(stored(before, 'x')), 'soft-purged', 'by its URL')
    t.equal(second.bus.table.validity(stored(highest, 'a')), 'valid')
    const next = await second.bus.publish(tagPurge('c'))
    t.ok((next.number ?? 0) > highest)
  })

  test('more than it can take is refused, and what was taken arrives', async (t, open) => {
    const under = await open({ maxQueued: 5_000 })
    addWorkers(under, 'w0')
    const asked = Array.from({ length: 20_000 }, (_, i) => under.bus.publish(tagPurge(`t-${i}`)))
    const results = await Promise.allSettled(asked)
    const taken = results.filter(({ status }) => status === 'fulfilled').length
    const refused = results.flatMap((it) => (it.status === 'rejected' ? [it.reason] : []))
    t.ok(refused.every(({ code }) => code === 'PURGE_OVERLOAD'))
    t.ok(taken >= 5_000 && refused.length > 0, `${taken} taken, ${refused.length} refused`)
    await waitFor(() => under.heard.purges.length >= taken, 60_000)
    t.equal(new Set(under.heard.tags).size, taken)
    const after = await under.bus.publish(tagPurge('after'), { waitMs: 10_000 })
    t.equal(after.state, 'applied')
  })
}
