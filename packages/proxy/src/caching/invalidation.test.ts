import t from 'tap'
import { Fields } from '../http/fields.ts'
import { invalidatedTargets } from './invalidation.ts'

type Line = readonly [string, string]

function targets(method: string, status: number, lines: readonly Line[] = []): string[] {
  const fields = Fields.from(lines)
  return invalidatedTargets(method, 'https', 'www.test:8443', '/a/b?c', status, fields)
}

t.test('unsafe methods that succeed invalidate their target (RFC 9111 §4.4)', async (t) => {
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'FOO', 'post', 'get']) {
    for (const status of [200, 204, 301, 303, 399]) {
      t.same(targets(method, status), ['/a/b?c'], `${method} ${status}`)
    }
    for (const status of [400, 404, 500]) t.same(targets(method, status), [], `${method} ${status}`)
  }
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'TRACE']) t.same(targets(method, 200), [], method)
})

t.test(
  'and what Location and Content-Location name of the same origin (RFC 9111 §4.4)',
  async (t) => {
    const rows: [string, string | undefined][] = [
      ['/x', '/x'],
      ['x', '/a/x'],
      ['?y', '/a/b?y'],
      ['../x', '/x'],
      ['', undefined],
      ['https://www.test:8443/x', '/x'],
      ['https://WWW.test:8443/x#fragment', '/x'],
      ['//www.test:8443/x', '/x'],
      ['https://www.test/x', undefined],
      ['http://www.test:8443/x', undefined],
      ['https://other.test:8443/x', undefined],
      ['https://user@www.test:8443/x', undefined],
      ['https://', undefined],
      ['/%00', undefined],
      ['mailto:a@www.test', undefined],
    ]
    for (const [reference, expected] of rows) {
      for (const name of ['Location', 'Content-Location']) {
        const others = targets('POST', 201, [[name, reference]]).filter((one) => one !== '/a/b?c')
        t.same(others, expected === undefined ? [] : [expected], `${name}: ${reference}`)
      }
    }
  },
)
