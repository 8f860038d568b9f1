import t from 'tap'
import { nameOfStem, parseFolderFile } from './folder-names.ts'

t.test('a file name says which half of which pair it is', (t) => {
  const cases: [string, ReturnType<typeof parseFolderFile>][] = [
    ['www.a.test.crt', { stem: 'www.a.test', suffix: '', half: 'certificate' }],
    ['www.a.test.key', { stem: 'www.a.test', suffix: '', half: 'key' }],
    ['www.a.test.rsa.crt', { stem: 'www.a.test', suffix: '.rsa', half: 'certificate' }],
    ['_.a.test.ecdsa.key', { stem: '_.a.test', suffix: '.ecdsa', half: 'key' }],
    ['www.a.test.crt.new', undefined],
    ['.www.a.test.crt', undefined],
    ['.crt', undefined],
    ['.rsa.crt', undefined],
    ['README', undefined],
  ]
  for (const [name, expected] of cases) t.same(parseFolderFile(name), expected, name)
  t.end()
})

t.test('a stem that is a host name is the name, until the certificate is read', (t) => {
  const cases: [string, string | undefined][] = [
    ['www.a.test', 'www.a.test'],
    ['WWW.A.test', 'www.a.test'],
    ['_.a.test', '*.a.test'],
    ['_sip.a.test', '_sip.a.test'],
    ['lineage-0001', 'lineage-0001'],
    ['two words', undefined],
    ['a..test', undefined],
    ['_.', undefined],
    ['x'.repeat(300), undefined],
  ]
  for (const [stem, expected] of cases) t.equal(nameOfStem(stem), expected, stem)
  t.end()
})
