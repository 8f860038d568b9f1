import fc from 'fast-check'
import t from 'tap'
import { compilePathPattern } from './path-matcher.ts'

const matchesPathPattern = (pattern: string, path: string) => compilePathPattern(pattern)(path)

t.test("'*' stands for any characters, '/' included", async (t) => {
  const cases: [pattern: string, path: string, matches: boolean][] = [
    ['/a*bc', '/abc', true],
    ['/ab*bc', '/abc', false],
    ['*', '/', true],
    ['/', '/', true],
    ['/a', '/a/', false],
    ['/tiles/*', '/tiles/1/2/3.png', true],
    ['/tiles/*', '/tiles/', true],
    ['/tiles/*', '/tiles', false],
    ['/*.png', '/a/b.png', true],
    ['/*.png', '/a/b.png.txt', false],
    ['/a*b*c', '/a--b--b--c', true],
    ['/a*b*c', '/a--c--b', false],
  ]
  for (const [pattern, path, matches] of cases) {
    t.equal(matchesPathPattern(pattern, path), matches, `${pattern} and ${path}`)
  }
})

t.test('it agrees with a regular expression', async (t) => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*'), maxLength: 12 })
  fc.assert(
    fc.property(text, text, (pattern, written) => {
      const path = written.replaceAll('*', '.')
      const source = pattern.split('*').join('.*')
      return matchesPathPattern(pattern, path) === new RegExp(`^${source}$`).test(path)
    }),
  )
  t.pass('for random patterns and paths')
})

t.test('a hostile pattern costs no more than its length times that of the path', async (t) => {
  const started = performance.now()
  t.notOk(matchesPathPattern(`${'*a'.repeat(1000)}b`, 'a'.repeat(8000)))
  t.ok(performance.now() - started < 1000)
})
