import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Identity } from './messages.ts'

/** The folder of the sockets between the workers: whoever can enter it is believed, so only they can. */
export class PeerFolder {
  readonly path: string

  constructor(identity: Identity | undefined) {
    // Mode 0700 (mkdtemp(3)).
    this.path = mkdtempSync(join(tmpdir(), 'larder-'))
    if (identity !== undefined) chownSync(this.path, identity.uid, identity.gid)
    process.once('exit', () => rmSync(this.path, { recursive: true, force: true }))
  }
}
