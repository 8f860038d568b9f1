export { DevelopmentAuthority } from './development-authority.ts'
export type { CertificateCheck, CertificateFacts, CertificatePair } from './read.ts'
export { checkPair, coversName, expiryWarning } from './read.ts'
export { openRing, sealRing } from './sealed-ring.ts'
export type { CertificateEntry, CertificatePairs, CertificateStoreOptions } from './store.ts'
export { CertificateStore } from './store.ts'
export type { TicketKeySet, TicketRing } from './ticket-ring.ts'
export {
  newTicketRing,
  parseRing,
  rotatedRing,
  serialiseRing,
  TICKET_KEY_BYTES,
  ticketKeySet,
} from './ticket-ring.ts'
