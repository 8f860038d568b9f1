import { Readable } from 'node:stream'
import { type Dispatcher, Pool } from 'undici'
import type { OriginTimeoutsConfig } from '../config/config.ts'
import { Fields } from '../http/fields.ts'
import { isSafe } from '../http/methods.ts'
import { ProxyError } from '../http/proxy-error.ts'
import type { RequestBody } from '../transport/exchange.ts'
import type { OriginFetch, OriginGroup, OriginHandler, OriginRequest } from './origin-fetch.ts'

export class UndiciOriginGroup implements OriginGroup {
  readonly #pool: Pool
  readonly #name: string
  readonly #authority: string

  constructor(url: string, name: string, timeouts: OriginTimeoutsConfig, connections: number) {
    this.#name = name
    this.#authority = new URL(url).host
    this.#pool = new Pool(url, {
      connections,
      allowH2: false,
      pipelining: 1,
      headersTimeout: timeouts.firstByteMs,
      bodyTimeout: timeouts.idleMs,
      connect: { timeout: timeouts.connectMs },
    })
  }

  fetch(request: OriginRequest, handler: OriginHandler): OriginFetch {
    let controller: Dispatcher.DispatchController | null = null
    let aborted = false
    let headSeen = false
    const body = request.body === null ? null : readable(request.body)
    const headers: string[] = []
    if (!request.fields.has('host')) headers.push('host', this.#authority)
    for (const [name, value] of request.fields) {
      if (name !== 'content-length') headers.push(name, value)
    }
    if (request.body?.length !== undefined)
      headers.push('content-length', String(request.body.length))
    const dispatch = (triesLeft: number) => {
      this.#pool.dispatch(
        { path: request.target, method: request.method as Dispatcher.HttpMethod, headers, body },
        {
          onRequestStart: (c) => {
            controller = c
            if (aborted) c.abort(new Error('aborted'))
          },
          onResponseStart: (c, status) => {
            controller = c
            if (aborted) return
            const raw = (c as unknown as { rawHeaders: Buffer[] }).rawHeaders
            const list: string[] = []
            for (let i = 0; i < raw.length; i += 2) {
              list.push(raw[i].toString('latin1').toLowerCase(), raw[i + 1].toString('latin1'))
            }
            const fields = new Fields(list)
            if (status < 200) return handler.onInterim(status, fields)
            headSeen = true
            handler.onHead(status, fields, this.#name)
          },
          onResponseData: (_c, chunk) => {
            if (!aborted) handler.onChunk(Buffer.from(chunk))
          },
          onResponseEnd: (_c, trailers) => {
            if (aborted) return
            const names = Object.keys(trailers ?? {})
            handler.onEnd(
              names.length === 0
                ? null
                : Fields.from(names.map((n) => [n, String(trailers[n])] as const)),
            )
          },
          onResponseError: (_c, cause) => {
            if (aborted) return
            const code = (cause as { code?: string }).code ?? ''
            if (
              !headSeen &&
              body === null &&
              isSafe(request.method) &&
              triesLeft > 0 &&
              /UND_ERR_SOCKET|ECONNRESET|EPIPE/.test(code)
            ) {
              return dispatch(triesLeft - 1)
            }
            handler.onError(this.#error(code, cause))
          },
        },
      )
    }
    setImmediate(() => dispatch(1))
    return {
      pause: () => controller?.pause(),
      resume: () => controller?.resume(),
      abort: () => {
        aborted = true
        controller?.abort(new Error('aborted'))
      },
    }
  }

  #error(code: string, cause: Error): ProxyError {
    if (code === 'ECONNREFUSED') return new ProxyError('ORIGIN_REFUSED', [this.#name], cause)
    if (code === 'UND_ERR_CONNECT_TIMEOUT')
      return new ProxyError('ORIGIN_CONNECT_TIMEOUT', [this.#name, 0], cause)
    if (code === 'UND_ERR_HEADERS_TIMEOUT')
      return new ProxyError('ORIGIN_FIRST_BYTE_TIMEOUT', [this.#name, 0], cause)
    if (code.startsWith('HPE'))
      return new ProxyError('ORIGIN_INVALID_RESPONSE', [this.#name, cause.message], cause)
    return new ProxyError('ORIGIN_CLOSED', [this.#name], cause)
  }

  close(): void {
    this.#pool.close()
  }
}

function readable(body: RequestBody): Readable {
  let started = false
  const stream = new Readable({
    read() {
      if (started) return body.resume()
      started = true
      body.consume({
        onChunk: (chunk) => {
          if (!stream.push(chunk)) body.pause()
        },
        onEnd: () => stream.push(null),
        onAbort: () => stream.destroy(new Error('request cut')),
      })
    },
  })
  return stream
}
