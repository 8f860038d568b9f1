import { Fields } from '../../http/fields.ts'
import type { Exchange } from '../exchange.ts'
import type { UpgradedConnection, UpgradedEnd } from '../upgraded-connection.ts'

/** What the pipeline sees of an upgraded connection, written down. */
export class UpgradeRecord {
  readonly connection: UpgradedConnection
  readonly chunks: Buffer[] = []
  readonly events: string[] = []
  readonly closes: UpgradedEnd[] = []

  constructor(connection: UpgradedConnection) {
    this.connection = connection
    connection.onClose = (end) => {
      this.events.push('close')
      this.closes.push(end)
    }
  }

  get octets(): Buffer {
    return Buffer.concat(this.chunks)
  }

  get text(): string {
    return this.octets.toString('latin1')
  }

  /** Writes down what comes; `onChunk` sees it as well. */
  consume(onChunk: (chunk: Buffer) => void = () => {}, onEnd: () => void = () => {}): this {
    this.connection.consume({
      onChunk: (chunk) => {
        this.events.push('chunk')
        this.chunks.push(chunk)
        onChunk(chunk)
      },
      onEnd: () => {
        this.events.push('end')
        onEnd()
      },
    })
    return this
  }
}

/** Switches the exchange to `raw`, or fails. */
export function switched(exchange: Exchange): UpgradeRecord {
  const connection = exchange.switchProtocols('raw', new Fields())
  if (typeof connection === 'string') throw new Error(`not switched: ${connection}`)
  return new UpgradeRecord(connection)
}

/** Sends back what comes, no faster than the client takes it; ends behind the client's end. */
export function echoOctets(record: UpgradeRecord): UpgradeRecord {
  const { connection } = record
  connection.onDrain = () => connection.resume()
  return record.consume(
    (chunk) => {
      if (!connection.write(chunk)) connection.pause()
    },
    () => connection.end(),
  )
}

/** Resolves when `condition` holds, looked at once per turn of the loop; the deadline is the test file's. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate)
}

/** Resolves when `value` has not moved for some turns of the loop. */
export async function still(value: () => number): Promise<void> {
  for (let seen = -1; seen !== value(); ) {
    seen = value()
    for (let i = 0; i < 50; i++) await new Promise(setImmediate)
  }
}
