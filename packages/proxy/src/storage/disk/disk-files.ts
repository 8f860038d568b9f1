import { close, fstat, open, read, writev } from 'node:fs'
import { mkdir, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { diskCalls } from './disk-calls.ts'

/**
 * Paths of the disk tier, and the few asynchronous calls that it makes, without streams or promises per byte; each has
 * its turn (`disk-calls.ts`).
 */

export function segmentPath(folder: string, segment: number): string {
  return join(folder, 'segments', `${segment.toString(16).padStart(8, '0')}.seg`)
}

/** Files of their own, in 256 folders: few enough names in each. */
export function largePath(folder: string, number: number): string {
  const name = number.toString(16).padStart(8, '0')
  return join(folder, 'large', name.slice(-2), `${name}.rec`)
}

/** Rejects when there is one. */
export async function createFile(path: string): Promise<number> {
  await diskCalls.run(() => mkdir(dirname(path), { recursive: true, mode: 0o700 }))
  return openFile(path, 'wx')
}

/** Numbers that are taken, after an index was lost, are passed over. */
const MAX_TAKEN = 1000

/** A new file with the next number that nobody has used. */
export async function createNumbered(
  nextNumber: () => Promise<number>,
  pathOf: (number: number) => string,
): Promise<{ fd: number; number: number }> {
  for (let taken = 0; ; taken++) {
    const number = await nextNumber()
    try {
      return { fd: await createFile(pathOf(number)), number }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EEXIST' || taken === MAX_TAKEN) throw error
    }
  }
}

export function openFile(path: string, flags: 'r' | 'wx'): Promise<number> {
  return diskCalls.run(
    () =>
      new Promise((resolve, reject) => {
        open(path, flags, 0o600, (error, fd) => (error === null ? resolve(fd) : reject(error)))
      }),
  )
}

export function closeFile(fd: number): void {
  const call = () => new Promise<void>((resolve) => close(fd, () => resolve()))
  // Nothing can be done about a descriptor that does not close; the kernel frees it all the same.
  diskCalls.run(call).catch(() => undefined)
}

/** Already gone is as good; anything else the evictor meets again. */
export function removeFile(path: string): void {
  diskCalls.run(() => unlink(path)).catch(() => undefined)
}

/** The file is shorter than what was written to it. */
export class FileEndsError extends Error {}

/** Exactly `length` bytes; rejects when the file ends before. */
export function readExactly(fd: number, position: number, length: number): Promise<Buffer> {
  return diskCalls.run(() => readAll(fd, position, length))
}

function readAll(fd: number, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length)
  return new Promise((resolve, reject) => {
    const more = (done: number) => {
      read(fd, bytes, done, length - done, position + done, (error, count) => {
        if (error !== null) reject(error)
        else if (count === 0) reject(new FileEndsError(`the file ends at ${position + done}`))
        else if (done + count < length) more(done + count)
        else resolve(bytes)
      })
    }
    if (length === 0) resolve(bytes)
    else more(0)
  })
}

/** All bytes of all buffers, from `position` on. */
export function writeAll(fd: number, buffers: Buffer[], position: number): Promise<void> {
  return diskCalls.run(() => writeEach(fd, buffers, position))
}

function writeEach(fd: number, buffers: Buffer[], position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const more = (left: Buffer[], at: number) => {
      writev(fd, left, at, (error, count) => {
        if (error !== null) return reject(error)
        const rest = afterBytes(left, count)
        if (rest.length === 0) resolve()
        else if (count === 0) reject(new Error('the disk took nothing'))
        else more(rest, at + count)
      })
    }
    const filled = buffers.filter((buffer) => buffer.length > 0)
    if (filled.length === 0) resolve()
    else more(filled, position)
  })
}

function afterBytes(buffers: readonly Buffer[], count: number): Buffer[] {
  let skip = count
  const rest: Buffer[] = []
  for (const buffer of buffers) {
    if (skip >= buffer.length) skip -= buffer.length
    else {
      rest.push(skip === 0 ? buffer : buffer.subarray(skip))
      skip = 0
    }
  }
  return rest
}

/** True when the file has been removed and only descriptors keep its space. */
export function isUnlinked(fd: number): Promise<boolean> {
  return diskCalls.run(
    () =>
      new Promise((resolve) => {
        fstat(fd, (error, stats) => resolve(error !== null || stats.nlink === 0))
      }),
  )
}
