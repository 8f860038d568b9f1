import { writeCertificate } from '../certificate.ts'
import { writeDocsSection } from '../docs.ts'
import { measureHits } from '../hit.ts'
import { machine, table } from '../report.ts'
import { commandOf, inFolder, type Scenario, writeJson } from '../scenario.ts'

export const hit: Scenario = {
  sentence: 'CPU time of one answer from the cache, beside bare Node, nginx and HAProxy',
  needs: ['taskset', 'h2load'],
  run: (options) =>
    inFolder(async (folder) => {
      await writeCertificate(folder)
      const results = await measureHits({ folder, quick: options.quick })
      const text = table('Hit', results)
      const facts = machine()
      console.log(
        `\nCPU µs per request of the server; × is in proportion to Larder.\n\n${text}\n\n${facts}`,
      )
      writeJson(options, facts, results)
      if (options.docs)
        writeDocsSection('performance.md', 'hit', page(text, facts, commandOf('hit', options)))
    }),
}

function page(text: string, facts: string, command: string): string {
  const day = new Date().toISOString().slice(0, 10)
  return `Written by \`${command}\` on ${day}. ${facts}.

CPU time of the server's processes, in user and kernel, for one answer from its cache, in microseconds: the median of
five rounds that alternate between the servers, and their range. × is in proportion to Larder. Each server has one core
to itself and one worker; the load (h2load) has another. Larder runs with its access log and metrics on, nginx and
HAProxy with their logs (configurations in \`packages/bench/config\`), bare Node with neither: it sends the same octets
from \`node:http\`, \`node:https\` and the stream interface of \`node:http2\`, and caches nothing.

${text}`
}
