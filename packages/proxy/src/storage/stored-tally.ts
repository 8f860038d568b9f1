/** What was counted in one place: memory of a worker, or the disk. */
export interface StoredTally {
  /** Bytes of the body by `tallyName`; at most `MAX_NAMES` of them. */
  readonly bodies: ReadonlyMap<string, number>
  /** Beyond those that have a name here. */
  readonly unnamed: { readonly responses: number; readonly bytes: number }
}

/** Two places that both have a response give it the same name, so that it counts once. */
export function tallyName(keyHash: Buffer, slot: number): string {
  return `${keyHash.toString('latin1')}${slot}`
}

/** Names of one place: 100 bytes each, on their way to the primary. */
const MAX_NAMES = 50_000

export class TallyBuilder {
  readonly bodies = new Map<string, number>()
  readonly unnamed = { responses: 0, bytes: 0 }

  add(name: string, bytes: number): void {
    if (this.bodies.size < MAX_NAMES || this.bodies.has(name)) this.bodies.set(name, bytes)
    else {
      this.unnamed.responses++
      this.unnamed.bytes += bytes
    }
  }
}

export interface TallySum {
  readonly responses: number
  readonly bytes: number
  /** False when there were too many to tell which of them are the same. */
  readonly exact: boolean
}

export function sumOfTallies(tallies: readonly StoredTally[]): TallySum {
  const all = new Map<string, number>()
  let responses = 0
  let bytes = 0
  for (const { bodies, unnamed } of tallies) {
    for (const [name, length] of bodies) all.set(name, length)
    responses += unnamed.responses
    bytes += unnamed.bytes
  }
  const exact = responses === 0 || tallies.length === 1
  for (const length of all.values()) bytes += length
  return { responses: responses + all.size, bytes, exact }
}
