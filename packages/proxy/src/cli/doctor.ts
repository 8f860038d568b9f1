import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { availableParallelism } from 'node:os'
import { loadConfigFile } from '../config/load.ts'
import { formatProblem } from '../config/problems.ts'
import { type Command, parseOptions } from './command.ts'

interface Finding {
  readonly check: string
  readonly state: 'good' | 'note' | 'bad'
  readonly detail: string
}

const WANTED_OPEN_FILES = 65_536

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'Check whether this machine suits the proxy',
  help: `Usage: larder doctor [--config FILE] [--json]

Checks Node, open file limit, core pinning and, with --config, the configuration.
Exit status 1 when something keeps the proxy from running.

Example: larder doctor --config /etc/larder/larder.yaml
`,
  async run(words) {
    const { values } = parseOptions(words, {
      config: { type: 'string' },
      json: { type: 'boolean' },
    })
    const findings = [nodeVersion(), socketHandles(), openFiles(), pinning(), cores()]
    if (values.config !== undefined) findings.push(...configuration(values.config))
    if (values.json) process.stdout.write(`${JSON.stringify(findings, null, 2)}\n`)
    else {
      for (const { check, state, detail } of findings) {
        process.stdout.write(`${state.padEnd(5)} ${check.padEnd(16)} ${detail}\n`)
      }
    }
    return findings.some((finding) => finding.state === 'bad') ? 1 : 0
  },
}

function nodeVersion(): Finding {
  const major = Number(process.versions.node.split('.')[0])
  const detail = `${process.version}${major >= 26 ? '' : '; at least 26 is needed. Start through npm, which brings it.'}`
  return { check: 'node', state: major >= 26 ? 'good' : 'bad', detail }
}

function socketHandles(): Finding {
  const exists = '_createServerHandle' in net
  return exists
    ? { check: 'sockets', state: 'good', detail: 'waiting connections survive a worker' }
    : {
        check: 'sockets',
        state: 'note',
        detail: 'connections waiting for a worker are lost with it',
      }
}

function openFiles(): Finding {
  const check = 'open files'
  try {
    const line = readFileSync('/proc/self/limits', 'utf8').match(/^Max open files +(\S+)/m)?.[1]
    const limit = line === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line)
    if (limit >= WANTED_OPEN_FILES) return { check, state: 'good', detail: `${line}` }
    const detail = `${line}; each connection takes one. Raise it: ulimit -n ${WANTED_OPEN_FILES}, or LimitNOFILE= of systemd.`
    return { check, state: 'note', detail }
  } catch {
    return { check, state: 'note', detail: 'unknown: this machine has no /proc' }
  }
}

function pinning(): Finding {
  try {
    execFileSync('taskset', ['-cp', String(process.pid)], { stdio: 'pipe' })
    return { check: 'pinning', state: 'good', detail: 'taskset works' }
  } catch {
    const detail = "no 'taskset' (package util-linux): workers run on any core"
    return { check: 'pinning', state: 'note', detail }
  }
}

function cores(): Finding {
  return { check: 'cores', state: 'good', detail: `${availableParallelism()}` }
}

function configuration(file: string): Finding[] {
  const result = loadConfigFile(file)
  const check = 'configuration'
  const warnings = result.warnings.map(
    (warning): Finding => ({ check, state: 'note', detail: formatProblem(warning) }),
  )
  if (result.ok) return [...warnings, { check, state: 'good', detail: file }]
  return result.problems.map((problem) => ({ check, state: 'bad', detail: formatProblem(problem) }))
}
