import { Evictor } from '../storage/disk/evictor.ts'
import type { FromEvictor, ToEvictor } from './messages.ts'

/**
 * Entry of the process that evicts from the disk tier: it has the index open, and whoever comes upon a damaged page of
 * it dies. The primary must not.
 */

let evictor: Evictor | undefined

// The primary ends this process; it may be killed at any moment.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) {
  process.on(signal, () => {})
}
// Not by `exit`, which would wait for calls to a disk that hangs.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

process.on('message', (message: ToEvictor) => {
  switch (message.type) {
    case 'start':
      evictor ??= new Evictor({
        ...message.options,
        onTrouble({ message, code }: NodeJS.ErrnoException) {
          tell({ type: 'eviction-trouble', message, code: code?.toString() })
        },
        onRound: () => tellCounts(),
      }).start()
      return
    case 'hits':
      evictor?.noteHits(message.places)
      return
  }
})

function tellCounts(): void {
  if (evictor !== undefined) tell({ type: 'eviction-round', counts: { ...evictor.counts } })
}

function tell(message: FromEvictor): void {
  // When the channel has just closed, 'disconnect' follows and is what is acted upon.
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}
