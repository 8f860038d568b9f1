import { UsageError } from './command.ts'

export const DEFAULT_ADMIN = 'http://localhost:9090'

export interface AdminCall {
  /** URL of the admin API. */
  readonly admin: string
  readonly path: string
  /** Sent as JSON by POST; without it the call is a GET. */
  readonly body?: unknown
  readonly timeoutMs?: number
}

/**
 * Calls the admin API of a running proxy; the token comes from LARDER_TOKEN. When that fails it says so on stderr, and
 * the result is undefined. Answers that are not 2xx are failures.
 */
export async function callAdmin(call: AdminCall): Promise<unknown> {
  const { admin, path, body, timeoutMs = 10_000 } = call
  if (!URL.canParse(admin)) throw new UsageError(`'${admin}' is not a URL.`)
  const token = process.env.LARDER_TOKEN
  const headers: Record<string, string> = {}
  if (token !== undefined) headers.authorization = `Bearer ${token}`
  if (body !== undefined) headers['content-type'] = 'application/json'
  let response: Response
  try {
    response = await fetch(new URL(path, admin), {
      method: body === undefined ? 'GET' : 'POST',
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    })
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    const reason = cause instanceof Error ? cause.message : String(cause)
    process.stderr.write(`Nothing answers at ${admin} (${reason}). Is the proxy running?\n`)
    return undefined
  }
  if (response.ok) return response.json()
  process.stderr.write(`${admin} answers ${response.status}: ${detailOf(await response.text())}\n`)
  return undefined
}

/** What a problem (RFC 9457) says; anything else as it is. */
function detailOf(text: string): string {
  try {
    // Whoever answered may be no Larder at all.
    const { detail } = JSON.parse(text) as { detail?: unknown }
    return typeof detail === 'string' ? detail : text
  } catch {
    return text
  }
}
