export { DevelopmentAuthority } from './development-authority.ts'
export { KeyRing, parseSealKeys } from './key-ring.ts'
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
export type { CertificateSet, CertificateVault } from './vault.ts'
