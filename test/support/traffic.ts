import { Agent as HttpAgent, type RequestOptions, request as requestHttp } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { bodyOf, pathOf } from './bodies.ts'

/** Which way a client asks; each keeps its connection from one request to the next. */
export type Way = 'http1' | 'http1-tls' | 'http2'

export interface TrafficOptions {
  readonly httpPort: number
  readonly httpsPort: number
  /** Asked in turn. */
  readonly hosts: readonly string[]
  readonly clients: Readonly<Partial<Record<Way, number>>>
  /** HTTP/2 requests under way at once on each connection. */
  readonly streams?: number
}

export interface TrafficCounts {
  good: number
  /** Said to be whole, and is not what the origin sent. */
  readonly corrupt: string[]
  readonly refused: string[]
  /** Any answer but 200. */
  readonly otherStatus: string[]
  /** Ended without an answer, or in the middle of one; a reset of a reused connection is among them. */
  readonly cut: string[]
  /** Those of `cut` whose answer had begun. */
  readonly cutInAnswer: string[]
  /** Those of `cut` that failed once more, on a new connection. */
  readonly lost: string[]
}

export interface Traffic extends TrafficCounts {
  stop(): Promise<TrafficCounts>
}

interface Answer {
  readonly status: number
  readonly body: Buffer
}

interface Client {
  ask(host: string, path: string): Promise<Answer>
  close(): void
}

/** An error that came after the first octet of the answer. */
class CutInAnswer extends Error {}

const SIZES_BYTES = [37, 1000, 16_384, 70_001, 300_000]
const NO_ANSWER_MS = 15_000

/** Requests without end, each checked to the last octet, one after the other on every client. */
export function startTraffic(options: TrafficOptions): Traffic {
  const counts: TrafficCounts = {
    good: 0,
    corrupt: [],
    refused: [],
    otherStatus: [],
    cut: [],
    cutInAnswer: [],
    lost: [],
  }
  let isStopped = false
  const { hosts, clients, streams = 4 } = options
  const tracks: Promise<void>[] = []
  for (const [way, count] of Object.entries(clients)) {
    for (let number = 0; number < count; number++) {
      // Object.entries forgets the names; they are those of the type.
      const open = () => openClient(way as Way, options)
      const state = { client: open(), open }
      const parallel = way === 'http2' ? streams : 1
      for (let stream = 0; stream < parallel; stream++) {
        tracks.push(track(state, `${way}-${number}-${stream}`))
      }
    }
  }

  async function track(state: { client: Client; open: () => Client }, name: string): Promise<void> {
    for (let turn = 0; !isStopped; turn++) {
      const host = hosts[turn % hosts.length]
      const size = SIZES_BYTES[turn % SIZES_BYTES.length]
      const path =
        turn % 3 === 0
          ? pathOf('passed', `${name}-${turn}`, size)
          : pathOf('stored', `${turn % 7}`, size)
      const { client } = state
      const failure = await askAndCheck(client, host, path)
      if (failure === null) continue
      counts.cut.push(failure.message)
      // Nobody is there: the others that ask shall not find out as fast as they can.
      if (failure.message.includes('ECONNREFUSED')) await new Promise(setImmediate)
      if (failure instanceof CutInAnswer) counts.cutInAnswer.push(failure.message)
      // Others on the same connection may have replaced it already.
      if (state.client === client) {
        client.close()
        state.client = state.open()
      }
      const again = await askAndCheck(state.client, host, path)
      if (again !== null) counts.lost.push(`${name} ${failure.message}, then ${again.message}`)
    }
    state.client.close()
  }

  async function askAndCheck(client: Client, host: string, path: string): Promise<Error | null> {
    try {
      const { status, body } = await client.ask(host, path)
      if (status !== 200) counts.otherStatus.push(`${status} for ${path}`)
      else if (!body.equals(bodyOf(host, path))) counts.corrupt.push(`${host}${path}`)
      else counts.good++
      return null
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error))
      if (failure.message.includes('ECONNREFUSED')) counts.refused.push(path)
      return failure
    }
  }

  return Object.assign(counts, {
    async stop() {
      isStopped = true
      await Promise.all(tracks)
      return counts
    },
  })
}

function openClient(kind: Way, options: TrafficOptions): Client {
  return kind === 'http2' ? openHttp2(options.httpsPort) : openHttp1(kind, options)
}

function openHttp1(kind: 'http1' | 'http1-tls', options: TrafficOptions): Client {
  const secure = kind === 'http1-tls'
  const agent = secure
    ? new HttpsAgent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false })
    : new HttpAgent({ keepAlive: true, maxSockets: 1 })
  const port = secure ? options.httpsPort : options.httpPort
  const send = secure ? requestHttps : requestHttp
  return {
    ask(host, path) {
      const target: RequestOptions & { servername: string } = {
        host: '127.0.0.1',
        port,
        path,
        agent,
        servername: host,
        headers: { host },
      }
      return new Promise((resolve, reject) => {
        const sent = send(target, (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', (error) => reject(new CutInAnswer(error.message)))
          response.on('end', () =>
            response.complete
              ? resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) })
              : reject(new CutInAnswer('the body is cut')),
          )
        })
        sent.on('error', reject)
        sent.setTimeout(NO_ANSWER_MS, () => sent.destroy(new Error('no answer')))
        sent.end()
      })
    },
    close: () => agent.destroy(),
  }
}

/** One connection per host name: a certificate is good for its own names (RFC 9113 §9.1.1). */
function openHttp2(port: number): Client {
  const sessions = new Map<string, ClientHttp2Session>()
  const sessionFor = (host: string) => {
    let session = sessions.get(host)
    // A connection that says GOAWAY finishes what it has; what is new goes to another.
    if (session === undefined || session.closed || session.destroyed) {
      session = connectHttp2(`https://127.0.0.1:${port}`, {
        servername: host,
        rejectUnauthorized: false,
      })
      session.on('error', () => {})
      sessions.set(host, session)
      const opened = session
      session.on('goaway', () => {
        if (sessions.get(host) === opened) sessions.delete(host)
        opened.close()
      })
    }
    return session
  }
  const askOnce = (host: string, path: string): Promise<Answer> => {
    return new Promise((resolve, reject) => {
      const stream = sessionFor(host).request({ ':path': path, ':authority': host })
      const chunks: Buffer[] = []
      let status = 0
      const failed = (reason: string) =>
        reject(status === 0 ? new Error(reason) : new CutInAnswer(reason))
      stream.on('response', (fields) => {
        status = Number(fields[':status'])
      })
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('error', (error) => failed(error.message))
      stream.on('end', () => {
        if (stream.aborted || stream.rstCode !== 0) failed(`reset with ${stream.rstCode}`)
        else if (status !== 0) resolve({ status, body: Buffer.concat(chunks) })
      })
      stream.on('close', () => failed('closed'))
      stream.setTimeout(NO_ANSWER_MS, () => {
        failed('no answer')
        stream.destroy()
      })
    })
  }
  return {
    async ask(host, path) {
      try {
        return await askOnce(host, path)
      } catch (error) {
        // Never processed, says RFC 9113 §8.7: a client is free to send it again, elsewhere.
        if (!(error instanceof Error) || !error.message.includes('REFUSED_STREAM')) throw error
        sessions.delete(host)
        return askOnce(host, path)
      }
    },
    close() {
      for (const session of sessions.values()) session.close()
    },
  }
}
