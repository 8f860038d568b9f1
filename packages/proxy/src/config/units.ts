const DURATION_UNITS_MS = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
  ['w', 604_800_000],
])

const SIZE_UNITS_BYTES = new Map([
  ['B', 1],
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
  ['TiB', 1024 ** 4],
  ['KB', 1e3],
  ['MB', 1e6],
  ['GB', 1e9],
  ['TB', 1e12],
])

/** Milliseconds of '30s', '1.5h', '250ms'; undefined when it is not a number with a unit. */
export function parseDurationMs(text: string): number | undefined {
  return parseWithUnit(text, DURATION_UNITS_MS)
}

/** Bytes of '256MiB', '8KiB', '10GB'; undefined when it is not a number with a unit. */
export function parseSizeBytes(text: string): number | undefined {
  return parseWithUnit(text, SIZE_UNITS_BYTES)
}

/** Per second: 50 of '50/s', 10 of '600/m'; undefined when it is no rate above none. */
export function parseRatePerSecond(text: string): number | undefined {
  const match = /^(\d{1,6})\/([sm])$/.exec(text)
  if (match === null || Number(match[1]) === 0) return undefined
  return Number(match[1]) / (match[2] === 's' ? 1 : 60)
}

function parseWithUnit(text: string, units: ReadonlyMap<string, number>): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]{1,3})$/.exec(text)
  if (match === null) return undefined
  const unit = units.get(match[2])
  if (unit === undefined) return undefined
  const amount = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(amount) ? amount : undefined
}
