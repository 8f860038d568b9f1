export { FolderAccountStore } from './account-store.ts'
export { AcmeError, type AcmeFault } from './acme-error.ts'
export type { CertificateKeyType } from './certificate-request.ts'
export { ChallengeBook, challengeKey } from './challenge-book.ts'
export type { ExternalAccount } from './jws.ts'
export { LocalLease } from './local-lease.ts'
export type {
  AccountStore,
  ChallengeBoard,
  ChallengeKind,
  HeldLease,
  Lease,
  LeaseAnswer,
  PendingChallenge,
} from './ports.ts'
export { LEASE_MS } from './ports.ts'
export { Renewer } from './renewal.ts'
export type { RenewalEvent, RenewalStatus, RenewalTarget } from './renewal-event.ts'
export { AcmeSession } from './session.ts'
export { tlsAlpnCertificate } from './tls-alpn-certificate.ts'
