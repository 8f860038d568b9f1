import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'

export interface Measured {
  readonly caseName: string
  readonly peer: string
  /** CPU time of the server for one request, in microseconds, one figure per round. */
  readonly rounds: readonly number[]
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

/** Rows are cases, columns peers: the median and the range of the rounds, then how often Larder fits into it. */
export function table(title: string, results: readonly Measured[]): string {
  const peers = [...new Set(results.map(({ peer }) => peer))]
  const cases = [...new Set(results.map(({ caseName }) => caseName))]
  const lines = [`| ${title} | ${peers.join(' | ')} |`, `|---|${peers.map(() => '---:|').join('')}`]
  for (const caseName of cases) {
    const own = results.find((each) => each.caseName === caseName && each.peer === peers[0])
    const cells = peers.map((peer) => {
      const found = results.find((each) => each.caseName === caseName && each.peer === peer)
      if (found === undefined) return '-'
      const middle = median(found.rounds)
      const range = `${Math.min(...found.rounds).toFixed(1)}–${Math.max(...found.rounds).toFixed(1)}`
      const ratio =
        own === undefined || own === found ? '' : ` ×${(middle / median(own.rounds)).toFixed(2)}`
      return `**${middle.toFixed(1)}**${ratio} (${range})`
    })
    lines.push(`| ${caseName} | ${cells.join(' | ')} |`)
  }
  return lines.join('\n')
}

export function machine(): string {
  const model = cpus()[0]?.model ?? 'unknown'
  const load = readFileSync('/proc/loadavg', 'utf8').split(' ')[0]
  return `${cpus().length} × ${model}, Node ${process.versions.node}, load average at the end ${load}`
}
