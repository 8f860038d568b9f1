/** The parts of the suite that are run from here; it is plain JavaScript. */

declare module 'http-cache-tests/client/runner.mjs' {
  import type { TestSuite } from 'http-cache-tests/tests/index.mjs'

  export function runTests(
    suites: readonly TestSuite[],
    fetch: unknown,
    useBrowserCache: boolean,
    baseUrl: string,
  ): Promise<void>
  /** By test id: true, or the kind of failure (`Assertion`, `Setup`, …) and its message. */
  export function getResults(): Readonly<Record<string, true | readonly [string, string]>>
}

declare module 'http-cache-tests/tests/index.mjs' {
  export interface SuiteTest {
    readonly id: string
    readonly name: string
    /** `required` when absent; `optimal` and `check` only describe. */
    readonly kind?: 'required' | 'optimal' | 'check'
    readonly browser_only?: boolean
  }
  export interface TestSuite {
    readonly id: string
    readonly name: string
    readonly tests: readonly SuiteTest[]
  }
  const suites: TestSuite[]
  export default suites
}

declare module 'http-cache-tests/tests/surrogate-control.mjs' {
  import type { TestSuite } from 'http-cache-tests/tests/index.mjs'

  const suite: TestSuite
  export default suite
}

declare module 'http-cache-tests/server/handle-*.mjs' {
  import type { IncomingMessage, ServerResponse } from 'node:http'

  export default function handle(
    pathSegments: readonly string[],
    request: IncomingMessage,
    response: ServerResponse,
  ): void
}

declare module 'node-fetch' {
  const fetch: unknown
  export default fetch
}
