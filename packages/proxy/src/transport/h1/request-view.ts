import type { Fields } from '../../http/fields.ts'
import type { HttpVersion, RequestView } from '../exchange.ts'
import type { RequestReader } from './request-reader.ts'

/** The reader's results as the door for memory hits sees them: nothing is copied, and fields are made on demand. */
export class ReaderView implements RequestView {
  readonly scheme: 'http' | 'https'
  readonly #reader: RequestReader

  constructor(reader: RequestReader, scheme: 'http' | 'https') {
    this.#reader = reader
    this.scheme = scheme
  }

  get method(): 'GET' | 'HEAD' {
    return this.#reader.method === 'HEAD' ? 'HEAD' : 'GET'
  }

  get authority(): string {
    return this.#reader.authority
  }

  get target(): string {
    return this.#reader.target
  }

  get httpVersion(): HttpVersion {
    return this.#reader.minorVersion === 1 ? '1.1' : '1.0'
  }

  get acceptEncoding(): string | undefined {
    return this.#reader.facts.acceptEncoding
  }

  get ifNoneMatch(): string | undefined {
    return this.#reader.facts.ifNoneMatch
  }

  get ifModifiedSince(): string | undefined {
    return this.#reader.facts.ifModifiedSince
  }

  get unusual(): boolean {
    return this.#reader.unusual
  }

  get fields(): Fields {
    return this.#reader.fields
  }
}
