export { DevelopmentAuthority } from './development-authority.ts'
export { KeyRing, keyMark, parseSealKeys } from './key-ring.ts'
export type { NameFilterImage } from './name-filter.ts'
export { NameFilter } from './name-filter.ts'
export type { CertificateCheck, CertificateFacts, CertificatePair, KeyKind } from './read.ts'
export {
  checkPair,
  coversName,
  daysLeft,
  expiryWarning,
  readChain,
  readFacts,
  validityProblem,
} from './read.ts'
export type { CertificateStoreCounts, CertificateStoreOptions, NamesImage } from './store.ts'
export { CertificateStore, canonicalName } from './store.ts'
export type { TicketKeySet, TicketRing } from './ticket-ring.ts'
export {
  newTicketRing,
  parseRing,
  rotatedRing,
  serialiseRing,
  TICKET_KEY_BYTES,
  ticketKeySet,
} from './ticket-ring.ts'
export type { CertificateSet, CertificateVault } from './vault.ts'
