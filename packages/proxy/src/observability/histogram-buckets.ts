/**
 * Log-linear buckets over whole microseconds, the same for every histogram so that they merge by addition: four
 * buckets for each power of two, so a quantile read from them is at most 25 % too high, from 1 µs to 36 minutes.
 */

const MAX_MICROSECONDS = 0x7fffffff
export const HISTOGRAM_BUCKETS = 120

export function histogramBucket(seconds: number): number {
  let microseconds = Math.ceil(seconds * 1e6)
  // Also true of NaN and negative durations, which a clock that steps back can give.
  if (!(microseconds > 0)) return 0
  if (microseconds > MAX_MICROSECONDS) microseconds = MAX_MICROSECONDS
  // A bucket holds what is at most its bound, as `le` of Prometheus says: hence one less before taking the logarithm.
  const value = microseconds - 1
  if (value < 4) return value
  const exponent = 31 - Math.clz32(value)
  return (exponent - 1) * 4 + ((value >>> (exponent - 2)) & 3)
}

/** Greatest number of seconds that the bucket counts. */
export function bucketBoundSeconds(bucket: number): number {
  if (bucket < 4) return (bucket + 1) / 1e6
  const exponent = Math.floor(bucket / 4) + 1
  return ((4 + (bucket % 4) + 1) * 2 ** (exponent - 2)) / 1e6
}

/** The smallest bucket bound that at least `quantile` (0 to 1) of the observations do not exceed; 0 without any. */
export function quantileSeconds(counts: Float64Array, quantile: number): number {
  let total = 0
  for (const count of counts) total += count
  if (total === 0) return 0
  const wanted = Math.max(1, Math.ceil(total * quantile))
  let seen = 0
  for (let bucket = 0; bucket < counts.length; bucket++) {
    seen += counts[bucket]
    if (seen >= wanted) return bucketBoundSeconds(bucket)
  }
  return bucketBoundSeconds(counts.length - 1)
}
