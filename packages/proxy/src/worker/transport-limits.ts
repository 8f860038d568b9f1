import type { Config } from '../config/config.ts'
import type { TransportLimits } from '../transport/limits.ts'

/** `limits` and `timeouts` as the transports take them. */
export function transportLimits(config: Config): TransportLimits {
  const { limits, timeouts } = config
  return {
    maxHeaderBytes: limits.maxHeaderBytes,
    maxHeaderCount: limits.maxHeaderCount,
    maxTargetBytes: limits.maxTargetBytes,
    maxRequestsPerConnection: limits.maxRequestsPerConnection,
    maxConcurrentStreams: limits.maxConcurrentStreams,
    maxStreamResets: limits.maxStreamResets,
    streamResetWindowMs: timeouts.streamResetWindowMs,
    headerTimeoutMs: timeouts.headerMs,
    idleTimeoutMs: timeouts.idleMs,
    tlsHandshakeTimeoutMs: timeouts.tlsHandshakeMs,
    minBodyBytesPerSecond: limits.minBodyBytesPerSecond,
    bodyRateWindowMs: timeouts.bodyRateWindowMs,
    bodyTimeoutMs: timeouts.bodyMs,
    writeTimeoutMs: timeouts.writeMs,
    maxConnections: limits.maxConnections,
    maxConnectionsPerAddress: limits.maxConnectionsPerAddress,
  }
}
