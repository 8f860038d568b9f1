import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { loadConfigFile } from '../../packages/proxy/src/config/load.ts'
import { startLarder, startOrigin, temporaryFolder, waitFor } from '../support/larder-process.ts'
import { contentAt } from '../support/synthetic-content.ts'
import { contentOfSegment, FILM_BYTES, SEGMENTS, VideoOrigin } from '../support/video-origin.ts'
import { VideoPlayer } from '../support/video-player.ts'

const SAMPLE = fileURLToPath(new URL('../../deploy/samples/video.yaml', import.meta.url))
const PLAYERS = 20
const SLICE = 4 * 1024 * 1024
/** As the sample has it. */
const LIVE_TTL_MS = 2000

/** The sample configuration in front of a made-up origin, with addresses and a folder of the test's own. */
async function startSample(t: Test): Promise<{ origin: VideoOrigin; player: VideoPlayer }> {
  const origin = new VideoOrigin()
  const url = await startOrigin(t, origin.serve)
  const { tenants, memory } = parse(readFileSync(SAMPLE, 'utf8'))
  const [tenant] = tenants
  const disk = { path: join(temporaryFolder(t), 'cache'), maxSize: '2GiB' }
  const larder = await startLarder(t, {
    memory,
    disk,
    tenants: [{ ...tenant, origins: [{ url }] }],
  })
  return { origin, player: new VideoPlayer(larder.httpPort, tenant.hosts[0]) }
}

t.test('the sample configuration is a good one', async (t) => {
  const result = loadConfigFile(SAMPLE)
  t.ok(result.ok, result.ok ? '' : result.problems.map(({ message }) => message).join('\n'))
  t.same(result.warnings, [])
})

t.test('an HLS film in segments is fetched once for all players', async (t) => {
  const { origin, player } = await startSample(t)
  const main = await player.text('/vod/main.m3u8')
  t.match(main, /^hd\/index\.m3u8$/m)
  const watch = async () => {
    const { pieces } = await player.playlist('/vod/hd/index.m3u8')
    t.equal(pieces.length, SEGMENTS)
    for (const [i, piece] of pieces.entries()) {
      const { status, body } = await player.fetch(piece)
      t.equal(status, 200)
      t.ok(body.equals(contentOfSegment(i + 1)), `segment ${i + 1}`)
    }
  }
  await Promise.all(Array.from({ length: PLAYERS }, watch))
  for (const [path, times] of origin.asked) t.equal(times, 1, path)
  t.equal(origin.asked.size, SEGMENTS + 2)
})

t.test('a DASH film likewise', async (t) => {
  const { origin, player } = await startSample(t)
  const watch = async () => {
    const pieces = await player.presentation('/vod/main.mpd')
    t.equal(pieces.length, SEGMENTS)
    for (const [i, piece] of pieces.entries()) {
      const { body } = await player.fetch(piece)
      t.ok(body.equals(contentOfSegment(i + 1)), `segment ${i + 1}`)
    }
  }
  await Promise.all(Array.from({ length: PLAYERS }, watch))
  for (const [path, times] of origin.asked) t.equal(times, 1, path)
})

t.test('a film in one file is fetched slice by slice, each once for all players', async (t) => {
  const { origin, player } = await startSample(t)
  const watch = async (_: unknown, start: number) => {
    const { pieces } = await player.playlist('/vod/film.m3u8')
    // They do not all begin at the beginning.
    for (let i = 0; i < 8; i++) {
      const piece = pieces[(start * 5 + i) % pieces.length]
      const { status, body } = await player.fetch(piece)
      const { first = 0, length = 0 } = piece.range ?? {}
      t.equal(status, 206)
      t.ok(body.equals(contentAt(first, length)), `${length} bytes from ${first}`)
    }
  }
  await Promise.all(Array.from({ length: PLAYERS }, watch))
  t.equal(new Set(origin.ranges).size, origin.ranges.length, 'no slice was asked for twice')
  t.ok(origin.ranges.every((range) => Number(/=(\d+)-/.exec(range)?.[1]) % SLICE === 0))
  t.ok(origin.filmBytes <= FILM_BYTES, `${origin.filmBytes} octets`)
})

t.test('players of a live stream see it go on, and the origin one of them', async (t) => {
  const { origin, player } = await startSample(t)
  const path = '/live/index.m3u8'
  const startedAt = performance.now()
  const sequences = new Array<number>(PLAYERS).fill(0)
  const poll = async (index: number) => {
    const { sequence, pieces } = await player.playlist(path)
    t.ok(sequence >= sequences[index], 'a playlist never goes back')
    sequences[index] = sequence
    const { status, body } = await player.fetch(pieces[pieces.length - 1])
    t.equal(status, 200)
    t.ok(body.equals(contentOfSegment(sequence + pieces.length - 1)))
  }
  for (let round = 0; round < 3; round++) {
    const before = Math.min(...sequences)
    await waitFor(async () => {
      await Promise.all(Array.from({ length: PLAYERS }, (_, i) => poll(i)))
      return Math.min(...sequences) > before
    })
    origin.newest++
  }
  const elapsedMs = performance.now() - startedAt
  // Each playlist answers for its lifetime, and one request brings the next one.
  const most = Math.floor(elapsedMs / LIVE_TTL_MS) + 1
  const asked = origin.asked.get(path) ?? 0
  t.ok(asked <= most, `asked ${asked} times in ${Math.round(elapsedMs)} ms`)
  for (const [name, times] of origin.asked) if (name !== path) t.equal(times, 1, name)
})

t.test('a segment that is not there yet is asked for again when it is', async (t) => {
  const { origin, player } = await startSample(t)
  const early = { path: `/live/segment-${origin.newest + 1}.m4s`, range: undefined }
  t.equal((await player.fetch(early)).status, 404)
  origin.newest++
  t.equal((await player.fetch(early)).status, 200)
})
