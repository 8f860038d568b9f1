import { writeCertificate } from '../certificate.ts'
import { measureIdle } from '../idle.ts'
import { inFolder, type Scenario } from '../scenario.ts'

export const idle: Scenario = {
  sentence: 'memory of an idle TLS connection',
  needs: ['taskset'],
  run: ({ quick }) =>
    inFolder(async (folder) => {
      await writeCertificate(folder)
      const count = quick ? 1000 : 8000
      const bytes = await measureIdle(folder, count)
      console.log(`${(bytes / 1024).toFixed(1)} KiB for each of ${count} idle TLS connections`)
    }),
}
