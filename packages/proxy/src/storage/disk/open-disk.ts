import { mkdirSync } from 'node:fs'
import { mkdir, stat, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { diskCalls } from './disk-calls.ts'
import { DiskIndex, UnusableIndexError } from './disk-index.ts'
import { indexPath, setIndexAside } from './index-file.ts'
import { IndexWriter } from './index-writer.ts'
import { SegmentWriter } from './segment-writer.ts'

/** Segments are a 512th of the tier, within these bounds: eviction takes one at a time. */
const MIN_SEGMENT_BYTES = 256 * 1024
const MAX_SEGMENT_BYTES = 64 * 1024 * 1024
/** Written to see whether a disk in trouble takes something again: what a small transaction needs. */
const PROBE_BYTES = 256 * 1024

export function segmentBytesFor(maxSizeBytes: number): number {
  return Math.min(MAX_SEGMENT_BYTES, Math.max(MIN_SEGMENT_BYTES, Math.floor(maxSizeBytes / 512)))
}

/** Address space of the index: ample for the records that fit, and costs nothing until it is used. */
export function indexMapBytes(maxSizeBytes: number): number {
  return Math.min(64 * 2 ** 30, Math.max(2 ** 30, Math.floor(maxSizeBytes / 4)))
}

/** What a worker has open of the disk tier's folder. */
export interface OpenDisk {
  readonly index: DiskIndex
  readonly changes: IndexWriter
  readonly segments: SegmentWriter
}

/** Throws when it cannot be had; of an index that never can be opened again the way is free the next time. */
export function openDisk(folder: string, maxSizeBytes: number): OpenDisk {
  mkdirSync(join(folder, 'segments'), { recursive: true, mode: 0o700 })
  const mapBytes = indexMapBytes(maxSizeBytes)
  const index = openIndex(folder, mapBytes)
  const changes = new IndexWriter({ folder, mapBytes })
  const nextNumber = async () => (await changes.change({ kind: 'takeNumber' })).number
  const segments = new SegmentWriter(folder, segmentBytesFor(maxSizeBytes), nextNumber)
  return { index, changes, segments }
}

function openIndex(folder: string, mapBytes: number): DiskIndex {
  try {
    return new DiskIndex(folder, mapBytes)
  } catch (error) {
    if (error instanceof UnusableIndexError) setIndexAside(folder)
    throw error
  }
}

export async function closeDisk({ index, changes, segments }: OpenDisk): Promise<void> {
  await segments.close()
  await changes.close()
  await index.close()
}

/** Rejects when the index that is open is not the one in the folder any more. */
export async function checkIndexFile(folder: string, index: DiskIndex): Promise<void> {
  const inode = await diskCalls.run(() => inodeOf(indexPath(folder)))
  if (inode !== index.inode) throw new Error('the index of the disk tier was removed')
}

/** Settles when the folder takes a file again. */
export async function probeFolder(folder: string): Promise<void> {
  await diskCalls.run(() => writeProbe(folder))
}

async function writeProbe(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, `probe-${process.pid}`)
  try {
    await writeFile(path, Buffer.alloc(PROBE_BYTES), { mode: 0o600 })
  } finally {
    // Left behind, it is written over by the next probe.
    await unlink(path).catch(() => undefined)
  }
}

/** Settles when the disk answers, whatever: what is opened after it, on the event loop, will not hang. */
export async function awaitAnswer(folder: string): Promise<void> {
  await diskCalls.run(() => inodeOf(indexPath(folder)))
}

async function inodeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.ino
}
