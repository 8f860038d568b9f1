import { DriftTrace } from './drift.ts'
import { MapTilesTrace } from './map-tiles.ts'
import { PopularityTrace } from './popularity.ts'
import { ScanTrace } from './scan.ts'
import type { Trace, TraceOptions } from './trace.ts'
import { VideoTrace } from './video.ts'

/** Every kind of trace, each made when it is its turn. */
export const TRACES: readonly ((options: TraceOptions) => Trace)[] = [
  (options) => new PopularityTrace({ ...options, name: 'Zipf, skew 0.7', skew: 0.7 }),
  (options) => new PopularityTrace({ ...options, name: 'Zipf, skew 1.0', skew: 1 }),
  (options) =>
    new PopularityTrace({
      ...options,
      name: 'Zipf, skew 0.9, and 30 % one-hit wonders',
      skew: 0.9,
      oneHitShare: 0.3,
    }),
  (options) => new ScanTrace(options),
  (options) => new DriftTrace(options),
  (options) => new VideoTrace(options),
  (options) => new MapTilesTrace(options),
]
