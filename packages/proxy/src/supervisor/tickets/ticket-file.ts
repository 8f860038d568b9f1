import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { parseRing, serialiseRing, type TicketRing } from '@larder/certs'

/**
 * Ticket keys on the disk of a machine that shares them with no other, so that a restart of the proxy does not make every
 * client do a whole handshake at once. Readable by its owner alone; it holds four keys at most, the eldest of which is
 * forgotten, here too, three rotations after it was made.
 */
export class TicketFile {
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  /** null when there is none that can be used. Throws what the file system says but that it is missing. */
  read(): TicketRing | null {
    try {
      return parseRing(readFileSync(this.#file, 'utf8'))
    } catch (error) {
      // What fs throws is an Error with a code.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }

  /** Whole or not at all, whenever the process or the machine ends. */
  write(ring: TicketRing): void {
    mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 })
    const temporary = `${this.#file}.${process.pid}`
    const fd = openSync(temporary, 'w', 0o600)
    try {
      writeSync(fd, serialiseRing(ring))
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, this.#file)
  }
}
