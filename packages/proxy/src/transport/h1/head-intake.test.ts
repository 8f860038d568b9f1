import t from 'tap'
import { FieldSection } from '../../http/message/field-section.ts'
import { InputBuffer } from '../../http/message/input-buffer.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import { HeadIntake } from './head-intake.ts'
import { RequestReader } from './request-reader.ts'

/** A reader that counts the octets it is given to read. */
class CountingReader extends RequestReader {
  octets = 0

  override read(bytes: Buffer, start: number, end: number): number {
    this.octets += end - start
    return super.read(bytes, start, end)
  }
}

const dribbles = [
  ['one endless value', `GET / HTTP/1.1\r\nHost: a.test\r\nX: ${'y'.repeat(32_000)}`, 3],
  [
    'many lines',
    `GET / HTTP/1.1\r\nHost: a.test\r\n${`X: ${'y'.repeat(250)}\r\n`.repeat(120)}`,
    70,
  ],
] as const

for (const [name, octets, times] of dribbles) {
  t.test(`${name}, octet by octet, cost no more than a reading per line`, async (t) => {
    const reader = new CountingReader(DEFAULT_LIMITS, 'http', new FieldSection(128))
    const intake = new HeadIntake(reader, DEFAULT_LIMITS.maxHeaderBytes)
    const input = new InputBuffer()
    for (const octet of Buffer.from(octets)) {
      input.append(Buffer.from([octet]))
      if (intake.take(input) !== 0) t.fail(reader.reason)
      input.settle()
    }
    t.ok(reader.octets <= times * octets.length, `${reader.octets} octets read`)
    input.append(Buffer.from(octets.endsWith('\n') ? '\r\n' : '\r\n\r\n'))
    t.equal(intake.take(input), 1)
    t.equal(reader.authority, 'a.test')
  })
}
