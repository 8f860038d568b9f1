import fc from 'fast-check'
import t from 'tap'
import { Deadline, TimerWheel } from './timer-wheel.ts'

t.test('a deadline fires once, not early and at most one tick late', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 120_000 }), fc.integer({ min: 1, max: 400 })), {
          minLength: 1,
          maxLength: 40,
        }),
        (arms) => {
          let now = 1
          const wheel = new TimerWheel(() => now)
          let firedAt = -1
          const deadline = new Deadline(wheel, () => {
            if (firedAt !== -1) throw new Error('fired twice')
            firedAt = now
          })
          let dueAt = 0
          for (const [ms, step] of arms) {
            firedAt = -1
            deadline.arm(ms)
            dueAt = now + ms
            now += Math.min(step, ms - 1)
            wheel.advance()
            if (firedAt !== -1) throw new Error('fired early')
          }
          while (firedAt === -1 && now < dueAt + 1000) {
            now += 50
            wheel.advance()
          }
          return firedAt >= dueAt && firedAt <= dueAt + 250
        },
      ),
    ),
  )
})

t.test('a disarmed deadline does not fire, and a released one leaves the wheel', async (t) => {
  let now = 1
  const wheel = new TimerWheel(() => now)
  let fired = 0
  const disarmed = new Deadline(wheel, () => fired++)
  const released = new Deadline(wheel, () => fired++)
  const other = new Deadline(wheel, () => fired++)
  for (const deadline of [disarmed, released, other]) deadline.arm(300)
  disarmed.disarm()
  released.release()
  now = 1000
  wheel.advance()
  t.equal(fired, 1)
  t.equal(released.slot, -1)
})
