/**
 * One coarse wheel for all time-outs of all connections. A deadline is one small object per connection and purpose
 * that is armed and disarmed as often as requests come; arming writes a number, and only when the time moved nearer
 * does it touch a list. What is traded: a deadline fires up to one tick late, never early.
 */

const TICK_MS = 100
const SLOTS = 512

export class TimerWheel {
  readonly #slots: (Deadline | null)[] = new Array(SLOTS).fill(null)
  readonly #now: () => number
  #tickCount: number
  #timer: NodeJS.Timeout | null = null

  /** `now` in ms, monotonic. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#tickCount = Math.floor(now() / TICK_MS)
  }

  start(): this {
    this.#timer ??= setInterval(() => this.advance(), TICK_MS).unref()
    return this
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  now(): number {
    return this.#now()
  }

  /** Fires what is due. Called by the timer; by hand in tests. */
  advance(): void {
    const now = this.#now()
    const target = Math.floor(now / TICK_MS)
    // After a long stall every slot is visited once, not once per missed tick.
    let tick = Math.max(this.#tickCount + 1, target - SLOTS + 1)
    for (; tick <= target; tick++) {
      // Counted first: what an expiring deadline arms must not land in the slot that is being emptied.
      this.#tickCount = tick
      const slot = tick % SLOTS
      // One by one from the list's head, since an expiring deadline may release others of the same slot.
      for (let due = this.#slots[slot]; due !== null; due = this.#slots[slot]) {
        this.#slots[slot] = due.next
        due.next = null
        due.slot = -1
        this.#visit(due, now, tick)
      }
    }
  }

  #visit(deadline: Deadline, now: number, tick: number): void {
    if (deadline.dueAt === 0) return
    if (deadline.dueAt > now) {
      this.insert(deadline, tick)
      return
    }
    deadline.dueAt = 0
    deadline.expire()
  }

  /** @internal */
  insert(deadline: Deadline, currentTick: number = this.#tickCount): void {
    const dueTick = Math.ceil(deadline.dueAt / TICK_MS)
    const ahead = Math.min(Math.max(dueTick - currentTick, 1), SLOTS - 1)
    const slot = (currentTick + ahead) % SLOTS
    deadline.slot = slot
    deadline.slotTick = currentTick + ahead
    deadline.next = this.#slots[slot]
    this.#slots[slot] = deadline
  }

  /** @internal */
  remove(deadline: Deadline): void {
    let at = this.#slots[deadline.slot]
    if (at === deadline) this.#slots[deadline.slot] = deadline.next
    else {
      while (at !== null && at.next !== deadline) at = at.next
      if (at !== null) at.next = deadline.next
    }
    deadline.next = null
    deadline.slot = -1
  }

  /** @internal */
  static tickOf(ms: number): number {
    return Math.ceil(ms / TICK_MS)
  }
}

export class Deadline {
  /** ms on the wheel's clock; 0 when not armed. */
  dueAt = 0
  /** @internal */
  next: Deadline | null = null
  /** @internal */
  slot = -1
  /** @internal */
  slotTick = 0
  readonly expire: () => void
  readonly #wheel: TimerWheel

  constructor(wheel: TimerWheel, expire: () => void) {
    this.#wheel = wheel
    this.expire = expire
  }

  /** Fires `ms` from now; replaces what was armed before. */
  arm(ms: number): void {
    this.dueAt = this.#wheel.now() + ms
    // Waiting in an earlier slot is fine: the visit there moves it on.
    if (this.slot >= 0 && this.slotTick <= TimerWheel.tickOf(this.dueAt)) return
    if (this.slot >= 0) this.#wheel.remove(this)
    this.#wheel.insert(this)
  }

  disarm(): void {
    this.dueAt = 0
  }

  get armed(): boolean {
    return this.dueAt !== 0
  }

  /** Takes the deadline off the wheel for good: call it when its owner ends, or the wheel keeps the owner alive. */
  release(): void {
    this.dueAt = 0
    if (this.slot >= 0) this.#wheel.remove(this)
  }
}
