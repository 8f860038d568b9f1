import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DevelopmentAuthority } from '@larder/certs'

/** One certificate for all servers: server.crt, server.key, and both in server.pem. */
export async function writeCertificate(folder: string): Promise<void> {
  const authority = new DevelopmentAuthority(join(folder, 'authority'))
  const { certPem, keyPem } = await authority.certificateFor('server', ['localhost'])
  writeFileSync(join(folder, 'server.crt'), certPem)
  writeFileSync(join(folder, 'server.key'), keyPem)
  writeFileSync(join(folder, 'server.pem'), certPem + keyPem)
}
