import t from 'tap'
import type { KnownSet, SourceKind } from './known-set.ts'
import { NameIndex } from './name-index.ts'

const owner = { read: async () => null, isInUse: () => true }

function known(id: string, source: SourceKind, names: readonly string[], version = 1): KnownSet {
  return { id, source, names, version, facts: undefined, owner }
}

const idsFor = (index: NameIndex, name: string) => index.find(name).map(({ id }) => id)

t.test('of several sets for a name the source decides, then whose name it is, then age', (t) => {
  const index = new NameIndex()
  const sets = [
    known('self', 'self-signed', ['a.test']),
    known('folder/a.test', 'folder', ['a.test']),
    known('acme', 'acme', ['a.test']),
    known('name/b.test', 'admin', ['b.test', 'a.test'], 9),
    known('name/a.test', 'admin', ['a.test', 'b.test'], 2),
    known('name/c.test', 'admin', ['c.test', 'a.test'], 3),
    known('tenant/a', 'files', ['a.test']),
  ]
  for (const set of sets) index.put(set, [])
  t.same(idsFor(index, 'a.test'), [
    'name/a.test',
    'name/b.test',
    'name/c.test',
    'tenant/a',
    'acme',
    'folder/a.test',
    'self',
  ])
  t.same(idsFor(index, 'b.test'), ['name/b.test', 'name/a.test'])
  t.same(idsFor(index, 'd.test'), [])
  t.end()
})

t.test('names that a set gives up, or that go with it, are gone', (t) => {
  const index = new NameIndex()
  const [one, two] = [
    known('one', 'folder', ['a.test', 'b.test']),
    known('two', 'acme', ['b.test']),
  ]
  for (const set of [one, two]) index.put(set, [])
  t.same(idsFor(index, 'b.test'), ['two', 'one'])
  const before = one.names
  one.names = ['c.test', 'b.test']
  index.put(one, before)
  t.same([...index.names()].sort(), ['b.test', 'c.test'])
  index.drop(two)
  t.same(idsFor(index, 'b.test'), ['one'])
  index.drop(one)
  t.equal(index.size, 0)
  t.equal(index.sets.size, 0)
  t.end()
})
