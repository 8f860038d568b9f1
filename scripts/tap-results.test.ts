import t from 'tap'
import { TapResults } from './tap-results.ts'

function read(text: string) {
  const counts = { passed: 0, failed: 0 }
  const printed: string[] = []
  const results = new TapResults(counts, (line) => printed.push(line))
  for (const line of text.split('\n')) results.line(line)
  return { ...counts, files: results.filesSeen, printed: printed.join('\n') }
}

t.test('assertions are counted, not the tests around them', async (t) => {
  const text = `TAP version 14
# Subtest: a.test.ts
    # Subtest: one
        ok 1 - x
        ok 2 - y
        1..2
    ok 1 - one # time=1ms
    ok 2 - bare
    1..2
ok 1 - a.test.ts # time=2ms
1..1`
  t.match(read(text), { passed: 3, failed: 0, files: 1 })
})

t.test('a failed assertion counts once and is shown with its reason', async (t) => {
  const text = `# Subtest: a.test.ts
    # Subtest: one
        ok 1 - x
        not ok 2 - y
          ---
          found: ok 3 - not a result
          ok 4 - neither is this
          ...
        1..2
    not ok 1 - one
      ---
      at: somewhere
      ...
    1..1
not ok 1 - a.test.ts
  ---
  exitCode: 1
  ...`
  const result = read(text)
  t.match(result, { passed: 1, failed: 1, files: 1 })
  t.match(result.printed, /found: ok 3/)
})

t.test('a file that timed out or threw is a failure although its assertions passed', async (t) => {
  const text = `# Subtest: a.test.ts
    ok 1 - x
not ok 1 - a.test.ts # time=30000ms
not ok 2 - b.test.ts`
  t.match(read(text), { passed: 1, failed: 2, files: 2 })
})

t.test('what is skipped or to do is no failure', async (t) => {
  t.match(read('    ok 1 - x # SKIP no root\n    not ok 2 - y # TODO later\nok 1 - a.test.ts'), {
    failed: 0,
    files: 1,
  })
})
