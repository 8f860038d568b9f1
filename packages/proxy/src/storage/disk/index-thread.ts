import { parentPort, workerData } from 'node:worker_threads'
import { DiskIndex, type IndexChange, type IndexResult, UnusableIndexError } from './disk-index.ts'

/** A batch of changes, and what became of it. */
export interface IndexAnswer {
  readonly results: readonly IndexResult[] | null
  /** Set when `results` is null. */
  readonly message: string
  readonly code: string | undefined
  readonly isUnusable: boolean
}

export interface IndexThreadData {
  readonly folder: string
  readonly mapBytes: number
}

if (parentPort !== null) serve(parentPort, workerData)

function serve(port: NonNullable<typeof parentPort>, { folder, mapBytes }: IndexThreadData): void {
  let index: DiskIndex | null = null
  port.on('message', (changes: readonly IndexChange[] | 'close') => {
    if (changes === 'close') {
      void (index?.close() ?? Promise.resolve()).catch(() => undefined).finally(() => port.close())
      return
    }
    port.postMessage(answer(changes))
  })

  function answer(changes: readonly IndexChange[]): IndexAnswer {
    try {
      index ??= new DiskIndex(folder, mapBytes)
      const results = index.apply(changes.map(withBuffers))
      return { results, message: '', code: undefined, isUnusable: false }
    } catch (error) {
      const { message, code } = error as NodeJS.ErrnoException
      const isUnusable = error instanceof UnusableIndexError
      return { results: null, message, code: code?.toString(), isUnusable }
    }
  }
}

/** Buffers arrive as plain byte arrays. */
function withBuffers(change: IndexChange): IndexChange {
  if (change.kind === 'takeNumber') return change
  if (change.kind === 'untag') return { ...change, tags: Buffer.from(change.tags) }
  if (change.kind === 'putBody' || change.kind === 'removeBody') {
    return { ...change, contentHash: Buffer.from(change.contentHash) }
  }
  const keyHash = Buffer.from(change.keyHash)
  if (!('tags' in change) || change.tags === undefined) return { ...change, keyHash }
  return { ...change, keyHash, tags: Buffer.from(change.tags) }
}
