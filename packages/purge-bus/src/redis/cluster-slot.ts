/** Which of the 16 384 slots of a Redis Cluster holds what has this hash tag: CRC-16/XMODEM of its bytes. */
export function clusterSlot(tag: string): number {
  let crc = 0
  for (let at = 0; at < tag.length; at++) {
    crc ^= tag.charCodeAt(at) << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
  }
  return crc & 0x3fff
}
