import { Clock } from '../../../http/clock.ts'
import { DEFAULT_LIMITS } from '../../limits.ts'
import { listen } from '../../listener.ts'
import { TimerWheel } from '../../timer-wheel.ts'
import { RecordingDoor } from './server-under-test.ts'

/** A listener in a process of its own, which its test starts with few file descriptors. */
const listener = listen(
  { host: '127.0.0.1', port: 0 },
  {
    secure: false,
    proxyProtocol: null,
    door: new RecordingDoor(),
    limits: DEFAULT_LIMITS,
    clock: new Clock(),
    wheel: new TimerWheel(),
    http2: null,
  },
)
const { port } = await listener.ready
process.send?.(port)
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send?.((user + system) / 1000)
})
