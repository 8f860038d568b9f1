import type { Test } from 'tap'
import type { Edge } from './edge.ts'
import type { PlainAnswer } from './scripted-origin.ts'

let paths = 0

/** A path that no other assertion has used. */
export function freshPath(): string {
  return `/path-${++paths}`
}

/** The answer is reused for exactly so many seconds and then asked for again; 0 = never reused without asking. */
export async function assertFreshFor(
  t: Test,
  { get, origin, clock }: Edge,
  seconds: number,
  answer: PlainAnswer,
  name: string,
): Promise<void> {
  const path = freshPath()
  origin.answers(path, answer)
  await get(path)
  if (seconds > 0) {
    clock.advanceSeconds(seconds - 1)
    const hit = await get(path)
    t.match(hit.cacheStatus, /^Larder; hit; ttl=1$/, `${name}: fresh to its last second`)
    clock.advanceSeconds(1)
  }
  const asked = origin.asked(path)
  await get(path)
  t.equal(asked, 1, `${name}: asked once while fresh`)
  t.equal(origin.asked(path), 2, `${name}: asked again after ${seconds} s`)
}

/** The first answer is used for a second request at once, or not. */
export async function assertReused(
  t: Test,
  { get, origin }: Edge,
  reused: boolean,
  answer: PlainAnswer,
  name: string,
): Promise<void> {
  const path = freshPath()
  origin.answers(path, answer)
  const first = await get(path)
  const second = await get(path)
  t.equal(origin.asked(path), reused ? 1 : 2, `${name}: ${reused ? 'stored' : 'not reused'}`)
  t.equal(/; stored/.test(first.cacheStatus), reused, `${name}: Cache-Status says so`)
  t.equal(second.status, answer.status ?? 200, `${name}: same status`)
}
