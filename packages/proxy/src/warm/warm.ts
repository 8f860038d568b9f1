import type { ProxyDoor } from './proxy-door.ts'

export interface WarmOptions {
  readonly door: ProxyDoor
  /** Requests begun per second. */
  readonly ratePerSecond: number
  /** Requests under way. */
  readonly concurrency: number
  /** Ends it early. */
  readonly signal: AbortSignal
  /** After each answer. */
  onProgress?(report: WarmReport): void
}

export interface WarmReport {
  readonly urls: number
  readonly fetched: number
  readonly failed: number
  readonly bytes: number
  /** The first failures, with their reason. */
  readonly failures: readonly { readonly url: string; readonly reason: string }[]
  /** False when it was ended before the last URL. */
  readonly complete: boolean
}

const MAX_FAILURES_TOLD = 20

/** Fetches URLs through a proxy so that it stores them. Never rejects: what fails is in the report. */
export async function warm(urls: readonly string[], options: WarmOptions): Promise<WarmReport> {
  const { door, ratePerSecond, concurrency, signal, onProgress } = options
  const failures: { url: string; reason: string }[] = []
  let fetched = 0
  let failed = 0
  let bytes = 0
  let next = 0
  let mayStartAt = performance.now()
  const report = (): WarmReport => {
    const complete = fetched + failed === urls.length
    return { urls: urls.length, fetched, failed, bytes, failures, complete }
  }
  const fetchOne = async (url: string) => {
    try {
      const answer = await door.get(url, signal)
      bytes += answer.bytes
      if (answer.status < 400) {
        fetched++
        return
      }
      throw new Error(`status ${answer.status}`)
    } catch (error) {
      // One that the end of the time has cut is not what failed.
      if (signal.aborted) return
      failed++
      const reason = error instanceof Error ? error.message : String(error)
      if (failures.length < MAX_FAILURES_TOLD) failures.push({ url, reason })
    }
  }
  const track = async () => {
    while (next < urls.length && !signal.aborted) {
      const url = urls[next++]
      const now = performance.now()
      const startAt = Math.max(now, mayStartAt)
      mayStartAt = startAt + 1000 / ratePerSecond
      await pause(startAt - now, signal)
      if (signal.aborted) return
      await fetchOne(url)
      onProgress?.(report())
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, urls.length) }, track))
  return report()
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}
