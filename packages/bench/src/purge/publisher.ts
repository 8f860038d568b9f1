import { redisBus } from '@larder/purge-bus'

/** A process on the bus that publishes as many purges as it is told to, and has no workers. */
export interface Publisher {
  readonly redisUrl: string
  readonly folder: string
}

/** `perSecond`: 0 = all at once. */
export interface Order {
  readonly count: number
  readonly perSecond: number
}

export interface Published {
  readonly published: number
  /** Refused, because too many were under way. */
  readonly refused: number
  /** From the first to the answer of the last, ms. */
  readonly tookMs: number
}

const TICK_MS = 10
/** Tags differ, and come again. */
const TAGS = 10_000

const { redisUrl, folder }: Publisher = JSON.parse(process.argv[2])
const bus = await redisBus({
  redis: { url: redisUrl },
  prefix: 'larder:',
  folder,
  machine: 'publisher',
  table: { resolve: () => [] },
  events: { onPurges() {}, onFloor() {}, onState() {}, onError: console.error },
})
await bus.start()
process.on('message', (order) => {
  // The only thing that its parent sends.
  void publish(order as Order).then((published) => process.send?.(published))
})
process.on('disconnect', () => process.exit())
process.send?.('started')

async function publish({ count, perSecond }: Order): Promise<Published> {
  const startedAt = performance.now()
  const answers: Promise<boolean>[] = []
  for (let sent = 0; sent < count; ) {
    const passedSeconds = (performance.now() - startedAt) / 1e3
    const due = perSecond === 0 ? count : Math.min(count, passedSeconds * perSecond)
    for (; sent < due; sent++) answers.push(publishOne(sent))
    await new Promise((resolve) => setTimeout(resolve, TICK_MS))
  }
  const published = (await Promise.all(answers)).filter(Boolean).length
  return { published, refused: count - published, tookMs: performance.now() - startedAt }
}

function publishOne(index: number): Promise<boolean> {
  const tags = [`other-${index % TAGS}`]
  return bus.publish({ type: 'tag', tenant: 'bench', tags, soft: false }).then(
    ({ state }) => state !== 'pending',
    () => false,
  )
}
