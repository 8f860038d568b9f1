import { Fields } from '../../packages/proxy/src/http/fields.ts'
import { Conditions } from './conditions.ts'
import type { FieldValues } from './message-reader.ts'

export interface RequestSpec {
  readonly method?: string
  readonly path: string
  readonly fields?: FieldValues
  readonly body?: string | Buffer
  /** The body waits for `sendBody`; its length is sent at once. */
  readonly holdBody?: boolean
  /** Host of the request, without its port. */
  readonly host?: string
}

export interface Interim {
  readonly status: number
  readonly fields: Fields
}

/** One request and what has come back of its answer so far; the same for every protocol. */
export class ClientExchange {
  /** 0 until a final head has come. */
  status = 0
  fields = new Fields()
  trailers = new Fields()
  readonly interim: Interim[] = []
  readonly chunks: Buffer[] = []
  /** The answer came to its end. */
  complete = false
  /** The connection or the stream was cut before that. */
  cut = false
  /** Bytes that came after the answer. */
  surplus: Buffer = Buffer.alloc(0)
  readonly conditions = new Conditions()
  /** Gives up: closes the connection or resets the stream. Set by the client that made this. */
  leave: () => void = () => {}
  /** Sends the body that was held. */
  sendBody: () => void = () => {}
  /** Stops and resumes reading from the connection. */
  pause: () => void = () => {}
  resume: () => void = () => {}

  get body(): Buffer {
    return Buffer.concat(this.chunks)
  }

  get text(): string {
    return this.body.toString('utf8')
  }

  /** This cache's member of Cache-Status, `''` when there is none. */
  get cacheStatus(): string {
    return this.fields.get('cache-status') ?? ''
  }

  get age(): number | undefined {
    const age = this.fields.get('age')
    return age === undefined ? undefined : Number(age)
  }

  until(condition: (exchange: this) => boolean): Promise<void> {
    return this.conditions.until(() => condition(this))
  }

  /** Resolves when the answer is complete or was cut. */
  async done(): Promise<this> {
    await this.until(() => this.complete || this.cut)
    return this
  }

  async headCame(): Promise<this> {
    await this.until(() => this.status !== 0 || this.cut)
    return this
  }

  /** Resolves when so many bytes of the body have come. */
  async bodyCame(bytes: number): Promise<this> {
    await this.until(() => this.chunks.reduce((sum, chunk) => sum + chunk.length, 0) >= bytes)
    return this
  }

  finished(): void {
    this.complete = true
    this.conditions.changed()
  }

  broken(): void {
    if (this.complete) return
    this.cut = true
    this.conditions.ended('The answer was cut.')
  }
}

export interface Client {
  readonly protocol: Protocol
  /** Sends a request; what comes back is seen as it comes. */
  open(spec: RequestSpec): ClientExchange
  close(): void
}

export type Protocol = 'h1' | 'h2'
