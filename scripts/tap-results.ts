export interface Counts {
  passed: number
  failed: number
}

/**
 * Counts assertions: the results of the deepest level. A test or file whose own line says "not ok" although nothing
 * in it failed (a time-out, an exception, a plan not kept) counts as one failure.
 */
export class TapResults {
  filesSeen = 0
  readonly #counts: Counts
  readonly #print: (text: string) => void
  /** Results seen inside each open level, by indentation. */
  readonly #inner = new Map<number, Counts>()
  #isDiagnostic = -1
  #failedLines: string[] = []

  constructor(counts: Counts, print: (text: string) => void) {
    this.#counts = counts
    this.#print = print
  }

  line(line: string): void {
    const indentation = line.length - line.trimStart().length
    const text = line.trim()
    if (this.#isDiagnostic >= 0) {
      if (text === '...' && indentation === this.#isDiagnostic) this.#isDiagnostic = -1
      if (this.#failedLines.length > 0) this.#print(line)
      if (this.#isDiagnostic === -1) this.#failedLines = []
      return
    }
    if (text === '---') {
      this.#isDiagnostic = indentation
      return
    }
    const result = /^(not )?ok \d+(?: - (.*))?$/.exec(text)
    if (result === null) return
    const isOk = result[1] === undefined || /# (skip|todo)/i.test(text)
    const inner = this.#inner.get(indentation + 4)
    this.#inner.delete(indentation + 4)
    if (inner === undefined) this.#count(indentation, isOk, line)
    else {
      this.#add(indentation, inner)
      if (!isOk && inner.failed === 0) this.#count(indentation, false, line)
      else if (!isOk && indentation === 0) this.#print(`FAILED  ${result[2] ?? ''}`)
    }
    if (indentation === 0) {
      this.filesSeen++
      if (isOk) this.#print(`ok      ${(result[2] ?? '').replace(/ # time.*/, '')}`)
    }
  }

  #count(indentation: number, isOk: boolean, line: string): void {
    this.#add(indentation, { passed: isOk ? 1 : 0, failed: isOk ? 0 : 1 })
    if (!isOk) {
      this.#print(line)
      this.#failedLines = [line]
    }
  }

  #add(indentation: number, found: Counts): void {
    if (indentation === 0) {
      this.#counts.passed += found.passed
      this.#counts.failed += found.failed
      return
    }
    const level = this.#inner.get(indentation) ?? { passed: 0, failed: 0 }
    level.passed += found.passed
    level.failed += found.failed
    this.#inner.set(indentation, level)
  }
}
