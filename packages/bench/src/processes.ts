import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'

/** Clock ticks per second of `/proc/PID/stat`: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100
/** Less CPU time than this in an interval is what a process uses when nobody asks it for anything. */
const QUIET_SECONDS = 0.011
const QUIET_INTERVAL_MS = 250

export function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
}

/** Of a process that this one starts: descriptors that it may have open. */
export function openFilesLimit(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1])
}

/** A program and everything it starts, on `core`; its output goes to a file. */
export function start(core: number, words: readonly string[], outputFile: string): ChildProcess {
  const output = openSync(outputFile, 'a')
  return spawn('taskset', ['-c', String(core), ...words], { stdio: ['ignore', output, output] })
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await ended
  clearTimeout(force)
}

export async function untilListening(port: number, timeoutMs = 30_000): Promise<void> {
  const endsAt = performance.now() + timeoutMs
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    socket.destroy()
    if (isOpen) return
    if (performance.now() > endsAt) throw new Error(`Nothing listens on port ${port}.`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** CPU time, in user and kernel, of a process and all its descendants. */
export function cpuSeconds(pid: number): number {
  let ticks = 0
  for (const each of withDescendants(pid)) ticks += ticksOf(each)
  return ticks / TICKS_PER_SECOND
}

/** Waits until a process and its descendants have nothing more to do, for `limitMs` at most. */
export async function untilQuiet(pid: number, limitMs = 15_000): Promise<void> {
  const endsAt = performance.now() + limitMs
  for (let before = -1, now = cpuSeconds(pid); now - before > QUIET_SECONDS; ) {
    if (performance.now() > endsAt) return
    await new Promise((resolve) => setTimeout(resolve, QUIET_INTERVAL_MS))
    before = now
    now = cpuSeconds(pid)
  }
}

export function residentBytes(pid: number): number {
  return statusBytes(pid, /^VmRSS:\s+(\d+)/m)
}

/** Of this process alone. */
export function ownResidentBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1] ?? 0) * 1024
}

/** Resident memory without what only maps files. */
export function anonymousBytes(pid: number): number {
  return statusBytes(pid, /^RssAnon:\s+(\d+)/m)
}

function statusBytes(pid: number, line: RegExp): number {
  let kib = 0
  for (const each of withDescendants(pid)) {
    kib += Number(line.exec(readFileSync(`/proc/${each}/status`, 'utf8'))?.[1] ?? 0)
  }
  return kib * 1024
}

/** The process of a primary that serves; eviction has one of its own beside it. */
export function workerOf(pid: number): number {
  const workers = withDescendants(pid).filter((each) =>
    readFileSync(`/proc/${each}/cmdline`, 'utf8').includes('worker-process'),
  )
  if (workers.length !== 1) throw new Error(`${pid} has ${workers.length} workers, not one`)
  return workers[0]
}

function withDescendants(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (/^\d+$/.test(name)) parents.set(Number(name), fieldsOf(Number(name))[1] ?? 0)
  }
  const family = [pid]
  for (const member of family) {
    for (const [child, parent] of parents) if (parent === member) family.push(child)
  }
  return family
}

function ticksOf(pid: number): number {
  const fields = fieldsOf(pid)
  return (fields[11] ?? 0) + (fields[12] ?? 0)
}

/** proc(5): the fields behind the name, which may itself contain spaces; [0] is the state, [1] the parent. */
function fieldsOf(pid: number): number[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number)
  } catch {
    // It has just ended.
    return []
  }
}
