/**
 * Looks into a running Node process through its inspector, which SIGUSR1 opens: collects its garbage and reads its
 * memory. What is left then is what it holds. The process must have been started with `--inspect-port`.
 */

export interface HeldMemory {
  /** Of the JavaScript heap, bytes. */
  readonly heapBytes: number
  /** Of buffers outside of it, bytes. */
  readonly bufferBytes: number
}

const ANSWER_LIMIT_MS = 60_000
const OPEN_LIMIT_MS = 10_000

export async function heldMemory(pid: number, port: number): Promise<HeldMemory> {
  process.kill(pid, 'SIGUSR1')
  const inspector = await Inspector.open(port)
  try {
    // Buffers are given back when the wrappers that the first collection has found are gone.
    for (let i = 0; i < 3; i++) await inspector.call('HeapProfiler.collectGarbage')
    const { result } = await inspector.call('Runtime.evaluate', {
      expression: 'JSON.stringify(process.memoryUsage())',
    })
    const usage = JSON.parse(result?.value ?? '{}')
    return { heapBytes: usage.heapUsed, bufferBytes: usage.arrayBuffers }
  } finally {
    inspector.close()
  }
}

interface Answer {
  readonly result?: { readonly value: string }
}

class Inspector {
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #calls = 0

  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.addEventListener('message', ({ data }) => {
      const { id, result } = JSON.parse(String(data))
      this.#waiting.get(id)?.(result)
      this.#waiting.delete(id)
    })
  }

  static async open(port: number): Promise<Inspector> {
    const socket = new WebSocket(await addressOf(port))
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve)
      socket.addEventListener('error', () => reject(new Error(`no inspector on port ${port}`)))
    })
    return new Inspector(socket)
  }

  call(method: string, params: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
    const id = ++this.#calls
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`${method}: no answer`)), ANSWER_LIMIT_MS)
      this.#waiting.set(id, (answer) => {
        clearTimeout(limit)
        resolve(answer)
      })
      this.#socket.send(JSON.stringify({ id, method, params }))
    })
  }

  close(): void {
    this.#socket.close()
  }
}

/** It takes a moment from the signal to the listening socket. */
async function addressOf(port: number): Promise<string> {
  const endsAt = performance.now() + OPEN_LIMIT_MS
  for (;;) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/json/list`)
      // What the inspector protocol says a list of targets is; a process has one.
      const [target] = (await answer.json()) as { webSocketDebuggerUrl: string }[]
      return target.webSocketDebuggerUrl
    } catch (error) {
      if (performance.now() > endsAt) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
