/** One thing that is wrong with a configuration, and where. */
export interface Problem {
  readonly file: string
  /** From 1; undefined when the value did not come from the file. */
  readonly line: number | undefined
  readonly column: number | undefined
  /** Such as `tenants[0].rules[2].cache.ttl`; '' for the whole file. */
  readonly path: string
  readonly message: string
}

export interface SourcePosition {
  readonly line: number
  readonly column: number
}

/** A file with a mistake repeated in every tenant need not be told so more often than this. */
const MAX_PROBLEMS = 500

/** Collects everything that is wrong instead of stopping at the first. */
export class Problems {
  readonly errors: Problem[] = []
  readonly warnings: Problem[] = []
  readonly #file: string
  readonly #positions = new Map<string, SourcePosition>()

  constructor(file: string) {
    this.#file = file
  }

  /** Remembers where a value stands, for checks that come later. */
  locate(path: string, position: SourcePosition): void {
    this.#positions.set(path, position)
  }

  error(path: string, message: string, position?: SourcePosition): void {
    this.#add(this.errors, path, message, position)
  }

  /** Told to the operator, but no reason to refuse the configuration. */
  warn(path: string, message: string, position?: SourcePosition): void {
    this.#add(this.warnings, path, message, position)
  }

  /** Whether anything at or below `path` is wrong. */
  hasErrorUnder(path: string): boolean {
    return this.errors.some(
      (problem) =>
        problem.path === path ||
        problem.path.startsWith(`${path}.`) ||
        problem.path.startsWith(`${path}[`),
    )
  }

  #add(list: Problem[], path: string, message: string, position?: SourcePosition): void {
    if (list.length > MAX_PROBLEMS) return
    if (list.length === MAX_PROBLEMS) {
      list.push({
        file: this.#file,
        line: undefined,
        column: undefined,
        path: '',
        message: 'There are more problems; these come first.',
      })
      return
    }
    const at = position ?? this.#nearestPosition(path)
    list.push({ file: this.#file, line: at?.line, column: at?.column, path, message })
  }

  /** A value that a default gave has no place in the file: its parent does. */
  #nearestPosition(path: string): SourcePosition | undefined {
    let current = path
    for (;;) {
      const position = this.#positions.get(current)
      if (position !== undefined || current === '') return position
      current = current.slice(0, Math.max(0, current.search(/[.[][^.[]*$/)))
    }
  }
}

/** `larder.yaml:12:18  tenants[0].id: what is wrong` */
export function formatProblem(problem: Problem): string {
  const place =
    problem.line === undefined ? problem.file : `${problem.file}:${problem.line}:${problem.column}`
  return problem.path === ''
    ? `${place}  ${problem.message}`
    : `${place}  ${problem.path}: ${problem.message}`
}

/** In the order of the file, so that a reader goes through it once. */
export function inFileOrder(problems: readonly Problem[]): Problem[] {
  return problems.toSorted(
    (a, b) =>
      (a.line ?? Number.MAX_SAFE_INTEGER) - (b.line ?? Number.MAX_SAFE_INTEGER) ||
      (a.column ?? 0) - (b.column ?? 0),
  )
}
