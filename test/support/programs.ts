import { execFile, spawnSync } from 'node:child_process'

/** Programs of other people, run as their users run them. */

export interface ProgramResult {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

const PROGRAM_TIMEOUT_MS = 60_000

/** false when it is there, else the reason to skip; in CI a missing program fails the tests that need it. */
export function skipWithout(program: string, debianPackage: string): string | false {
  const isThere = spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
  if (isThere || process.env.CI) return false
  return `${program} is not there: apt-get install ${debianPackage}`
}

/** Never rejects: a program that cannot be run has status 127. */
export function runProgram(program: string, words: readonly string[]): Promise<ProgramResult> {
  return new Promise((resolve) => {
    const options = { timeout: PROGRAM_TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024 }
    execFile(program, words, options, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 127
      resolve({ status, stdout, stderr })
    })
  })
}
