import { Clock } from '../../packages/proxy/src/http/clock.ts'

/** Time that stands still until a test moves it: the origin and the proxy both read it. */
export class HandClock {
  /** Epoch, ms; half way through a second, so that nothing depends on a lucky boundary. */
  ms = Date.UTC(2026, 5, 15, 12, 0, 0, 500)
  /** The proxy's view of it. */
  readonly clock = new Clock(() => this.ms)

  advanceSeconds(seconds: number): void {
    this.advanceMs(seconds * 1000)
  }

  advanceMs(ms: number): void {
    this.ms += ms
    this.clock.tick()
  }

  /** IMF-fixdate of now, or of so many seconds later (RFC 9110 §5.6.7). */
  date(offsetSeconds = 0): string {
    return new Date(this.ms + offsetSeconds * 1000).toUTCString()
  }
}
