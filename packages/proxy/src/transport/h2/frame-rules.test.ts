import t from 'tap'
import { CLIENT_PREFACE, ERROR, FLAG, FRAME } from './frame.ts'
import { block, get, request } from './test-support/block.ts'
import { startEngine } from './test-support/engine-server.ts'
import {
  data,
  frame,
  headers,
  RawClient,
  resetStream,
  SETTINGS_ACK,
  settings,
  uint32,
  windowUpdate,
} from './test-support/raw-client.ts'
import { readyAnswer, ScriptedDoor } from './test-support/scripted-door.ts'

/** What is to come of the bytes: an error with its code, or a response on stream 1 and a living connection. */
type Outcome = { connection: number } | { stream: number } | 'answered' | 'alive'

interface Case {
  readonly name: string
  readonly send: Buffer[]
  readonly outcome: Outcome
  /** Sends neither preface nor SETTINGS by itself. */
  readonly bare?: boolean
}

const PROTOCOL = { connection: ERROR.protocol }
const FRAME_SIZE = { connection: ERROR.frameSize }
const COMPRESSION = { connection: ERROR.compression }
const STREAM_PROTOCOL = { stream: ERROR.protocol }
const END = FLAG.endHeaders | FLAG.endStream
const GET = get('/')
const POST = request('POST', '/')
const open = headers(1, POST, false)
const eightOctets = Buffer.alloc(8)
const dependOn = (streamId: number): Buffer => Buffer.concat([uint32(streamId), Buffer.of(15)])
const padded = (length: number, rest: Buffer): Buffer =>
  Buffer.concat([Buffer.of(length), rest, Buffer.alloc(length)])

const cases: Case[] = [
  // Starting and frames in general
  {
    name: 'another preface is refused (§3.4)',
    bare: true,
    send: [Buffer.from('INVALID CONNECTION PREFACE\r\n\r\n')],
    outcome: PROTOCOL,
  },
  {
    name: 'a preface without SETTINGS is refused (§3.4)',
    bare: true,
    send: [CLIENT_PREFACE, headers(1, GET)],
    outcome: PROTOCOL,
  },
  {
    name: 'a SETTINGS ACK does not begin a connection (§3.4)',
    bare: true,
    send: [CLIENT_PREFACE, SETTINGS_ACK],
    outcome: PROTOCOL,
  },
  {
    name: 'a frame of unknown type is ignored (§4.1)',
    send: [frame(0x16, 0, 0, eightOctets), headers(1, GET)],
    outcome: 'answered',
  },
  {
    name: 'undefined flags are ignored (§4.1)',
    send: [frame(FRAME.ping, 0x16, 0, eightOctets), headers(1, GET)],
    outcome: 'answered',
  },
  {
    name: 'the reserved bit of a stream id is ignored (§4.1)',
    send: [frame(FRAME.headers, END, 0x8000_0001, GET)],
    outcome: 'answered',
  },
  {
    name: 'a frame above SETTINGS_MAX_FRAME_SIZE is refused (§4.2)',
    send: [open, data(1, Buffer.alloc(16_385))],
    outcome: FRAME_SIZE,
  },
  {
    name: 'a frame of the largest size is taken (§4.2)',
    send: [open, data(1, Buffer.alloc(16_384), true)],
    outcome: 'answered',
  },
  {
    name: 'a broken field block is a connection error (§4.3)',
    send: [headers(1, Buffer.from('\x00\x01\x01', 'latin1'))],
    outcome: COMPRESSION,
  },
  {
    name: 'PRIORITY inside a field section is refused (§4.3)',
    send: [frame(FRAME.headers, FLAG.endStream, 1, GET), frame(FRAME.priority, 0, 1, dependOn(0))],
    outcome: PROTOCOL,
  },
  {
    name: 'HEADERS of another stream inside a field section is refused (§4.3)',
    send: [frame(FRAME.headers, FLAG.endStream, 1, GET), headers(3, GET)],
    outcome: PROTOCOL,
  },
  {
    name: 'an unknown frame inside a field section is refused (§5.5)',
    send: [frame(FRAME.headers, FLAG.endStream, 1, GET), frame(0x16, 0, 0)],
    outcome: PROTOCOL,
  },
  // Stream states
  { name: 'DATA on an idle stream (§5.1)', send: [data(1, 'x', true)], outcome: PROTOCOL },
  { name: 'RST_STREAM on an idle stream (§5.1)', send: [resetStream(1)], outcome: PROTOCOL },
  {
    name: 'WINDOW_UPDATE on an idle stream (§5.1)',
    send: [windowUpdate(1, 100)],
    outcome: PROTOCOL,
  },
  {
    name: 'CONTINUATION on an idle stream (§5.1)',
    send: [frame(FRAME.continuation, END, 1, GET)],
    outcome: PROTOCOL,
  },
  {
    name: 'PRIORITY on an idle stream is no error (§5.1)',
    send: [frame(FRAME.priority, 0, 5, dependOn(0)), headers(1, GET)],
    outcome: 'answered',
  },
  {
    name: 'DATA after END_STREAM (§5.1)',
    send: [headers(1, get('/held')), data(1, 'x', true)],
    outcome: { stream: ERROR.streamClosed },
  },
  {
    name: 'HEADERS after END_STREAM (§5.1)',
    send: [headers(1, get('/held')), headers(1, GET)],
    outcome: { stream: ERROR.streamClosed },
  },
  {
    name: 'DATA on a closed stream (§5.1)',
    send: [headers(1, get('/hit')), data(1, 'x', true)],
    outcome: { connection: ERROR.streamClosed },
  },
  {
    name: 'HEADERS on a closed stream (§5.1)',
    send: [headers(1, get('/hit')), headers(1, GET)],
    outcome: { connection: ERROR.streamClosed },
  },
  {
    name: 'CONTINUATION on a closed stream (§5.1)',
    send: [headers(1, get('/hit')), frame(FRAME.continuation, END, 1, GET)],
    outcome: PROTOCOL,
  },
  {
    name: 'DATA on a stream that the client reset (§5.1)',
    send: [open, resetStream(1), data(1, 'x')],
    outcome: { connection: ERROR.streamClosed },
  },
  {
    name: 'PRIORITY, WINDOW_UPDATE and RST_STREAM may come late on a closed stream (§5.1)',
    send: [
      headers(1, GET),
      frame(FRAME.priority, 0, 1, dependOn(0)),
      windowUpdate(1, 5),
      resetStream(1),
      headers(3, GET),
    ],
    outcome: 'alive',
  },
  {
    name: 'what comes after our own reset is passed over (§5.1)',
    send: [
      headers(1, request('POST', '/', ['te', 'gzip']), false),
      data(1, 'abc'),
      headers(1, block([['x', 'y']])),
      headers(3, GET),
    ],
    outcome: 'alive',
  },
  { name: 'an even stream id (§5.1.1)', send: [headers(2, GET)], outcome: PROTOCOL },
  {
    name: 'a stream id that goes down (§5.1.1)',
    send: [headers(5, GET), headers(3, GET)],
    outcome: PROTOCOL,
  },
  {
    name: 'HEADERS that depend on themselves',
    send: [frame(FRAME.headers, END | FLAG.priority, 1, Buffer.concat([dependOn(1), GET]))],
    outcome: STREAM_PROTOCOL,
  },
  {
    name: 'PRIORITY that depends on itself',
    send: [frame(FRAME.priority, 0, 1, dependOn(1))],
    outcome: STREAM_PROTOCOL,
  },
  // DATA
  { name: 'DATA on stream 0 (§6.1)', send: [data(0, 'x')], outcome: PROTOCOL },
  {
    name: 'DATA with more padding than payload (§6.1)',
    send: [open, frame(FRAME.data, FLAG.padded | FLAG.endStream, 1, Buffer.from('\x05abcd'))],
    outcome: PROTOCOL,
  },
  {
    name: 'padded DATA (§6.1)',
    send: [
      headers(1, request('POST', '/', ['content-length', '3']), false),
      frame(FRAME.data, FLAG.padded | FLAG.endStream, 1, padded(7, Buffer.from('abc'))),
    ],
    outcome: 'answered',
  },
  {
    name: 'DATA without its pad length (§6.1)',
    send: [open, frame(FRAME.data, FLAG.padded, 1)],
    outcome: FRAME_SIZE,
  },
  // HEADERS
  { name: 'HEADERS on stream 0 (§6.2)', send: [headers(0, GET)], outcome: PROTOCOL },
  {
    name: 'HEADERS with more padding than payload (§6.2)',
    send: [
      frame(FRAME.headers, END | FLAG.padded, 1, Buffer.concat([Buffer.of(GET.length + 1), GET])),
    ],
    outcome: PROTOCOL,
  },
  {
    name: 'padded HEADERS with priority (§6.2)',
    send: [
      frame(
        FRAME.headers,
        END | FLAG.padded | FLAG.priority,
        1,
        padded(3, Buffer.concat([dependOn(0), GET])),
      ),
    ],
    outcome: 'answered',
  },
  {
    name: 'HEADERS that is too short for its priority (§6.2)',
    send: [frame(FRAME.headers, END | FLAG.priority, 1, Buffer.alloc(4))],
    outcome: FRAME_SIZE,
  },
  // PRIORITY, RST_STREAM
  {
    name: 'PRIORITY on stream 0 (§6.3)',
    send: [frame(FRAME.priority, 0, 0, dependOn(3))],
    outcome: PROTOCOL,
  },
  {
    name: 'PRIORITY of another size (§6.3)',
    send: [open, frame(FRAME.priority, 0, 1, Buffer.alloc(4))],
    outcome: { stream: ERROR.frameSize },
  },
  { name: 'RST_STREAM on stream 0 (§6.4)', send: [resetStream(0)], outcome: PROTOCOL },
  {
    name: 'RST_STREAM of another size (§6.4)',
    send: [open, frame(FRAME.resetStream, 0, 1, Buffer.alloc(3))],
    outcome: FRAME_SIZE,
  },
  {
    name: 'RST_STREAM with an unknown code (§7)',
    send: [open, resetStream(1, 0xff), headers(3, GET)],
    outcome: 'alive',
  },
  // SETTINGS
  {
    name: 'SETTINGS ACK with payload (§6.5)',
    send: [frame(FRAME.settings, FLAG.ack, 0, Buffer.alloc(6))],
    outcome: FRAME_SIZE,
  },
  { name: 'SETTINGS on a stream (§6.5)', send: [frame(FRAME.settings, 0, 1)], outcome: PROTOCOL },
  {
    name: 'SETTINGS of a size that is no multiple of six (§6.5)',
    send: [frame(FRAME.settings, 0, 0, Buffer.alloc(5))],
    outcome: FRAME_SIZE,
  },
  { name: 'SETTINGS_ENABLE_PUSH above 1 (§6.5.2)', send: [settings([2, 2])], outcome: PROTOCOL },
  {
    name: 'SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1 (§6.5.2)',
    send: [settings([4, 0x8000_0000])],
    outcome: { connection: ERROR.flowControl },
  },
  {
    name: 'SETTINGS_MAX_FRAME_SIZE below 16384 (§6.5.2)',
    send: [settings([5, 16_383])],
    outcome: PROTOCOL,
  },
  {
    name: 'SETTINGS_MAX_FRAME_SIZE above 2^24-1 (§6.5.2)',
    send: [settings([5, 0x100_0000])],
    outcome: PROTOCOL,
  },
  {
    name: 'SETTINGS_NO_RFC7540_PRIORITIES above 1 (RFC 9218 §2.1)',
    send: [settings([9, 2])],
    outcome: PROTOCOL,
  },
  {
    name: 'SETTINGS_NO_RFC7540_PRIORITIES that changes (RFC 9218 §2.1)',
    send: [settings([9, 1]), settings([9, 0])],
    outcome: PROTOCOL,
  },
  {
    name: 'an unknown setting is ignored (§6.5.2)',
    send: [settings([0xff, 1]), headers(1, GET)],
    outcome: 'answered',
  },
  // PUSH_PROMISE, PING, GOAWAY
  {
    name: 'PUSH_PROMISE from a client (§8.4)',
    send: [frame(FRAME.pushPromise, FLAG.endHeaders, 1, Buffer.concat([uint32(2), GET]))],
    outcome: PROTOCOL,
  },
  {
    name: 'PING on a stream (§6.7)',
    send: [frame(FRAME.ping, 0, 1, eightOctets)],
    outcome: PROTOCOL,
  },
  {
    name: 'PING of another size (§6.7)',
    send: [frame(FRAME.ping, 0, 0, Buffer.alloc(6))],
    outcome: FRAME_SIZE,
  },
  {
    name: 'a PING ACK nobody asked for is not answered (§6.7)',
    send: [frame(FRAME.ping, FLAG.ack, 0, eightOctets), headers(1, GET)],
    outcome: 'answered',
  },
  {
    name: 'GOAWAY on a stream (§6.8)',
    send: [frame(FRAME.goaway, 0, 1, uint32(0, 0))],
    outcome: PROTOCOL,
  },
  {
    name: 'GOAWAY that is cut short (§6.8)',
    send: [frame(FRAME.goaway, 0, 0, uint32(0))],
    outcome: FRAME_SIZE,
  },
  // WINDOW_UPDATE
  {
    name: 'WINDOW_UPDATE of 0 on the connection (§6.9)',
    send: [windowUpdate(0, 0)],
    outcome: PROTOCOL,
  },
  {
    name: 'WINDOW_UPDATE of 0 on a stream (§6.9)',
    send: [open, windowUpdate(1, 0)],
    outcome: STREAM_PROTOCOL,
  },
  {
    name: 'WINDOW_UPDATE of another size (§6.9)',
    send: [frame(FRAME.windowUpdate, 0, 0, Buffer.alloc(3))],
    outcome: FRAME_SIZE,
  },
  {
    name: 'a connection window above 2^31-1 (§6.9.1)',
    send: [windowUpdate(0, 0x7fff_ffff)],
    outcome: { connection: ERROR.flowControl },
  },
  {
    name: 'a stream window above 2^31-1 (§6.9.1)',
    send: [open, windowUpdate(1, 0x7fff_ffff)],
    outcome: { stream: ERROR.flowControl },
  },
  {
    name: 'a stream window above 2^31-1 by SETTINGS (§6.9.2)',
    send: [open, windowUpdate(1, 0x7fff_0000), settings([4, 0x7fff_ffff])],
    outcome: { connection: ERROR.flowControl },
  },
  {
    name: 'more DATA than the stream window (§6.9.1)',
    send: [
      headers(1, request('POST', '/held'), false),
      ...Array.from({ length: 5 }, () => data(1, Buffer.alloc(16_384))),
    ],
    outcome: { stream: ERROR.flowControl },
  },
  // CONTINUATION
  {
    name: 'a field section in several CONTINUATION frames (§6.10)',
    send: [
      frame(FRAME.headers, FLAG.endStream, 1, GET.subarray(0, 3)),
      frame(FRAME.continuation, 0, 1, GET.subarray(3, 9)),
      frame(FRAME.continuation, FLAG.endHeaders, 1, GET.subarray(9)),
    ],
    outcome: 'answered',
  },
  {
    name: 'CONTINUATION on stream 0 (§6.10)',
    send: [
      frame(FRAME.headers, FLAG.endStream, 1, GET),
      frame(FRAME.continuation, FLAG.endHeaders, 0),
    ],
    outcome: PROTOCOL,
  },
  {
    name: 'CONTINUATION after END_HEADERS (§6.10)',
    send: [open, frame(FRAME.continuation, FLAG.endHeaders, 1)],
    outcome: PROTOCOL,
  },
  {
    name: 'CONTINUATION after DATA (§6.10)',
    send: [open, data(1, 'x'), frame(FRAME.continuation, FLAG.endHeaders, 1)],
    outcome: PROTOCOL,
  },
  // PRIORITY_UPDATE
  {
    name: 'PRIORITY_UPDATE on a stream (RFC 9218 §7.1)',
    send: [frame(FRAME.priorityUpdate, 0, 1, uint32(1))],
    outcome: PROTOCOL,
  },
  {
    name: 'PRIORITY_UPDATE that is cut short (RFC 9218 §7.1)',
    send: [frame(FRAME.priorityUpdate, 0, 0, Buffer.alloc(3))],
    outcome: FRAME_SIZE,
  },
  {
    name: 'PRIORITY_UPDATE for a stream that nobody may open (RFC 9218 §7.1)',
    send: [frame(FRAME.priorityUpdate, 0, 0, uint32(2))],
    outcome: PROTOCOL,
  },
  {
    name: 'PRIORITY_UPDATE that cannot be read is no error (RFC 9218 §7.1)',
    send: [
      frame(FRAME.priorityUpdate, 0, 0, Buffer.concat([uint32(1), Buffer.from('u=\xff"')])),
      headers(1, GET),
    ],
    outcome: 'answered',
  },
  // HPACK
  {
    name: 'an index beyond both tables (RFC 7541 §2.3.3)',
    send: [headers(1, Buffer.concat([GET, Buffer.of(0xfe)]))],
    outcome: COMPRESSION,
  },
  {
    name: 'index 0 (RFC 7541 §6.1)',
    send: [headers(1, Buffer.concat([GET, Buffer.of(0x80)]))],
    outcome: COMPRESSION,
  },
  {
    name: 'a table size update behind a line (RFC 7541 §4.2)',
    send: [headers(1, Buffer.concat([GET, Buffer.of(0x20)]))],
    outcome: COMPRESSION,
  },
  {
    name: 'a table size update above our setting (RFC 7541 §6.3)',
    send: [headers(1, Buffer.concat([Buffer.of(0x3f, 0xe2, 0x1f), GET]))],
    outcome: COMPRESSION,
  },
  {
    name: 'two table size updates before the first line (RFC 7541 §4.2)',
    send: [headers(1, Buffer.concat([Buffer.of(0x20, 0x3f, 0xe1, 0x1f), GET]))],
    outcome: 'answered',
  },
  {
    name: 'Huffman padding of more than seven bits (RFC 7541 §5.2)',
    send: [
      headers(
        1,
        Buffer.concat([
          GET,
          Buffer.of(0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x84, 0x49, 0x50, 0x9f, 0xff),
        ]),
      ),
    ],
    outcome: COMPRESSION,
  },
  {
    name: 'Huffman padding with zeros (RFC 7541 §5.2)',
    send: [
      headers(
        1,
        Buffer.concat([
          GET,
          Buffer.of(0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x83, 0x49, 0x50, 0x90),
        ]),
      ),
    ],
    outcome: COMPRESSION,
  },
  {
    name: 'EOS in Huffman text (RFC 7541 §5.2)',
    send: [
      headers(
        1,
        Buffer.concat([GET, Buffer.of(0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x87, 0xff, 0xff, 0xff, 0xff)]),
      ),
    ],
    outcome: COMPRESSION,
  },
  {
    name: 'an integer that does not end (RFC 7541 §5.1)',
    send: [
      headers(1, Buffer.concat([GET, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)])),
    ],
    outcome: COMPRESSION,
  },
]

for (const { name, send, outcome, bare } of cases) {
  t.test(name, async (t) => {
    const door = new ScriptedDoor()
    const answer = door.onExchange
    door.ready.set('/hit', readyAnswer(null))
    door.onExchange = (exchange) => {
      if (exchange.request.target === '/held') return
      if (exchange.body === null) answer(exchange)
      else exchange.body.consume({ onChunk() {}, onEnd: () => answer(exchange), onAbort() {} })
    }
    const server = await startEngine(door)
    t.teardown(() => server.close())
    const client = await RawClient.connect(server.port, { bare })
    t.teardown(() => client.destroy())
    client.send(...send)
    if (outcome === 'answered' || outcome === 'alive') {
      const stream = outcome === 'answered' ? 1 : 3
      if (outcome === 'answered' || send.length > 2) {
        t.equal((await client.response(stream)).status, 200)
      }
      await client.roundTrip()
      t.notOk(client.frames.some(client.ofType(FRAME.goaway)), 'the connection lives')
    } else if ('connection' in outcome) {
      t.equal(await client.goaway(), outcome.connection)
      await client.ended
    } else {
      t.equal(await client.reset(1), outcome.stream)
      await client.roundTrip()
      t.notOk(client.frames.some(client.ofType(FRAME.goaway)), 'the connection lives')
    }
  })
}
