import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { get, waitFor } from './larder-process.ts'

const MAIN = fileURLToPath(new URL('./synthetic-origin-main.ts', import.meta.url))

export interface OriginStats {
  /** Range fields of the requests, in order; '' without one. */
  readonly ranges: readonly string[]
  /** Of bodies, taken by its kernel. */
  readonly bytes: number
}

/** An origin of representations of any length (`synthetic-content.ts`) in a process of its own. */
export class SyntheticOrigin {
  readonly url: string

  constructor(port: number) {
    this.url = `http://127.0.0.1:${port}`
  }

  /** Once it sends nothing any more. */
  async stats(): Promise<OriginStats> {
    const read = async () => JSON.parse((await get(`${this.url}/.stats`)).body)
    let stats = await read()
    await waitFor(async () => {
      stats = await read()
      return stats.active === 0
    })
    return stats
  }

  /** From now on everything is of another version. */
  async change(): Promise<void> {
    await get(`${this.url}/`, { method: 'PUT' })
  }
}

export async function startSyntheticOrigin(t: Test): Promise<SyntheticOrigin> {
  const child = fork(MAIN, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  t.teardown(async () => {
    const gone = once(child, 'exit')
    child.disconnect()
    await gone
  })
  const [port] = await once(child, 'message')
  return new SyntheticOrigin(port)
}
