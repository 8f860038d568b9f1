import type { Receipt } from '@larder/purge-bus'

const BAR_WIDTH = 30

/** A receipt for people: a line that sums it up, then who is missing and why. */
export function receiptLines(receipt: Receipt): string[] {
  const { id, number, state, machines, workers, slowestMs, missing } = receipt
  const numbered = number === null ? '' : `  number ${number}`
  const slowest = slowestMs === null ? '' : `  slowest ${slowestMs.toFixed(1)} ms`
  const lines = [
    `${state}  id ${id}${numbered}`,
    `in force on ${counted(workers, 'worker')} of ${counted(machines, 'machine')}${slowest}`,
  ]
  for (const { machine, worker, reason } of missing) {
    lines.push(`missing: ${machine}, ${worker ?? 'all of it'}: ${reason}`)
  }
  return lines
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

export interface ReceiptTable {
  draw(receipt: Receipt): void
  finish(receipt: Receipt): void
}

/** `live`: drawn over itself, with a bar of the workers that have it. */
export function receiptTable(out: NodeJS.WritableStream, live: boolean): ReceiptTable {
  let drawn = 0
  const draw = (receipt: Receipt) => {
    const { workers, missing } = receipt
    const total = workers + missing.filter(({ reason }) => reason === 'late').length
    const full = total === 0 ? 0 : Math.round((workers / total) * BAR_WIDTH)
    const bar = `[${'#'.repeat(full)}${'.'.repeat(BAR_WIDTH - full)}] ${workers} of ${total}`
    const lines = [...receiptLines(receipt), bar]
    // Up over what was drawn, and clear to the end of the screen.
    if (drawn > 0) out.write(`\x1b[${drawn}A\x1b[J`)
    out.write(`${lines.join('\n')}\n`)
    drawn = lines.length
  }
  return {
    draw(receipt) {
      if (live) draw(receipt)
    },
    finish(receipt) {
      if (live) draw(receipt)
      else out.write(`${receiptLines(receipt).join('\n')}\n`)
    },
  }
}
