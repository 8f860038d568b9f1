import { writeFileSync } from 'node:fs'

/**
 * Core files of this process, and of all that it starts from now on, have no memory in them: private keys are in memory.
 * Linux (core(5), `coredump_filter`). Whoever needs a whole one sets the filter of a running process back.
 */
export function keepMemoryOutOfCoreFiles(): void {
  try {
    writeFileSync('/proc/self/coredump_filter', '0')
  } catch {
    // Not allowed here; docs/certificates.md says what else there is to do.
  }
}
