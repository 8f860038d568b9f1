import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { BusState, PurgeBus, PurgeBusEvents } from '../purge-bus.ts'
import type { NumberedPurge, PurgeMessage } from '../purge-message.ts'
import type { ResolveUrl, StoredFacts } from '../purge-table.ts'

/** What a bus has told, and the bus. */
export class Heard implements PurgeBusEvents {
  readonly purges: NumberedPurge[] = []
  readonly floors: { number: number; reason: string }[] = []
  readonly states: BusState['kind'][] = []
  readonly errors: { text: string; reason: string }[] = []
  /** Called with the number of each batch: what a worker does. */
  onApplied: (number: number) => void = () => {}

  onPurges(purges: readonly NumberedPurge[]): void {
    this.purges.push(...purges)
    const last = purges.at(-1)
    if (last !== undefined) this.onApplied(last.number)
  }

  onFloor(number: number, reason: string): void {
    this.floors.push({ number, reason })
    this.onApplied(number)
  }

  onState(state: BusState): void {
    this.states.push(state.kind)
  }

  onError(text: string, reason: string): void {
    this.errors.push({ text, reason })
  }

  /** Tags of all purges of type tag, in the order in which they came. */
  get tags(): string[] {
    return this.purges.flatMap(({ message }) => (message.type === 'tag' ? message.tags : []))
  }

  get numbers(): number[] {
    return this.purges.map(({ number }) => number)
  }
}

export interface BusUnderTest {
  readonly bus: PurgeBus
  readonly heard: Heard
}

/** Workers that apply at once what they are told. */
export function addWorkers({ bus, heard }: BusUnderTest, ...names: readonly string[]): void {
  for (const name of names) bus.addWorker(name, bus.table.number)
  heard.onApplied = (number) => {
    for (const name of names) bus.acknowledge(name, number)
  }
}

export const resolve: ResolveUrl = (url) => {
  const { host, pathname } = new URL(url)
  return [{ tenant: 'acme', key: `acme\nhttps://${host}${pathname}` }]
}

export function tagPurge(tag: string, more: Partial<PurgeMessage> = {}): PurgeMessage {
  // `more` adds members that every type has.
  return { type: 'tag', tenant: 'acme', tags: [tag], soft: false, ...more } as PurgeMessage
}

export function stored(number: number, ...tags: readonly string[]): StoredFacts {
  return { tenant: 'acme', key: 'acme\nhttps://www.acme.test/a', tags, number }
}

export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'larder-purge-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Resolves when it is so; rejects when it is not in time. */
export async function waitFor(
  isSo: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const endsAt = performance.now() + timeoutMs
  while (!(await isSo())) {
    if (performance.now() > endsAt) throw new Error(`Not so within ${timeoutMs} ms: ${isSo}`)
    await new Promise((done) => setTimeout(done, 10))
  }
}
