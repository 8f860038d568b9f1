import { randomBytes } from 'node:crypto'
import t from 'tap'
import { KeyRing, parseSealKeys } from './key-ring.ts'

t.test('what is sealed is for those who have the key, unchanged, and about the same', async (t) => {
  const key = randomBytes(32)
  const ring = new KeyRing([key])
  const sealed = ring.seal('a private key', 'www.a.test, 7')
  t.equal(ring.open(sealed, 'www.a.test, 7'), 'a private key')
  t.equal(new KeyRing([randomBytes(32), key]).open(sealed, 'www.a.test, 7'), 'a private key')
  t.throws(() => ring.open(sealed, 'www.a.test, 8'))
  t.throws(() => new KeyRing([randomBytes(32)]).open(sealed, 'www.a.test, 7'), /not here/)
  t.not(ring.seal('a private key', 'www.a.test, 7'), sealed, 'never twice the same')
  const [format, name, body] = sealed.split('.')
  const octets = Buffer.from(body, 'base64url')
  for (let at = 0; at < octets.length; at++) {
    const changed = Buffer.from(octets)
    changed[at] ^= 1
    t.throws(() =>
      ring.open([format, name, changed.toString('base64url')].join('.'), 'www.a.test, 7'),
    )
  }
  for (const text of ['', 'x', '1.x', `2.${name}.${body}`, `1.${name}.AAAA`]) {
    t.throws(() => ring.open(text, 'www.a.test, 7'), text)
  }
})

t.test('keys are 32 octets each, in hexadecimal or base64', async (t) => {
  const keys = [randomBytes(32), randomBytes(32)]
  t.same(parseSealKeys(`${keys[0].toString('hex')}\n${keys[1].toString('base64')}\n`), keys)
  for (const text of [
    '',
    'short',
    randomBytes(31).toString('hex'),
    randomBytes(33).toString('base64'),
  ]) {
    t.match(parseSealKeys(text), /32 octets.*openssl rand -hex 32/, text)
  }
})
