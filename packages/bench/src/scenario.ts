import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface ScenarioOptions {
  /** Fewer requests and objects: to see that it works, not for figures. */
  readonly quick: boolean
  /** Also what takes very long. */
  readonly large: boolean
  /** Every figure goes to this file. */
  readonly json: string | undefined
  /** The tables go into the documentation. */
  readonly docs: boolean
}

/** Something to measure, by the word that chooses it on the command line. */
export interface Scenario {
  readonly sentence: string
  /** Programs without which it cannot run. */
  readonly needs: readonly string[]
  run(options: ScenarioOptions): Promise<void>
}

/** A folder that is gone afterwards, whatever happens. */
export async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'larder-bench-'))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export function writeJson(
  { json }: ScenarioOptions,
  machine: string,
  results: readonly unknown[],
): void {
  if (json === undefined) return
  const measuredAt = new Date().toISOString()
  writeFileSync(json, JSON.stringify({ measuredAt, machine, results }, null, 2))
}

/** `npm run bench -- NAME --docs`, as a page says how it came about. */
export function commandOf(name: string, { quick, large }: ScenarioOptions): string {
  return `npm run bench -- ${name}${quick ? ' --quick' : ''}${large ? ' --large' : ''} --docs`
}
