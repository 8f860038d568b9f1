import { execFileSync } from 'node:child_process'
import type { Config } from '../config/config.ts'
import type { Identity } from './messages.ts'

/** Whom workers become; undefined = nobody else. Throws in words for the operator. */
export function identityFor(config: Config): Identity | undefined {
  const { user, group } = config
  if (user === undefined && group === undefined) return undefined
  const uid = user === undefined ? (process.getuid?.() ?? 0) : userId('-u', user)
  const gid = group === undefined ? userId('-g', String(user)) : groupId(group)
  if (process.getuid?.() === uid && process.getgid?.() === gid) return undefined
  if (process.getuid?.() !== 0) {
    throw new Error(
      `Only root can let workers run as '${user ?? group}'. Start as root, or remove user and group from the configuration.`,
    )
  }
  return { uid, gid }
}

function userId(option: '-u' | '-g', name: string): number {
  try {
    // 'id' asks whatever directory the machine uses; reading /etc/passwd would see local accounts only.
    const text = execFileSync('id', [option, '--', name], { encoding: 'utf8', stdio: 'pipe' })
    return Number(text.trim())
  } catch {
    throw new Error(
      `There is no user '${name}' on this machine. Create it: useradd --system ${name}`,
    )
  }
}

function groupId(name: string): number {
  if (/^\d+$/.test(name)) return Number(name)
  try {
    const line = execFileSync('getent', ['group', '--', name], { encoding: 'utf8', stdio: 'pipe' })
    return Number(line.split(':')[2])
  } catch {
    throw new Error(
      `There is no group '${name}' on this machine. Create it: groupadd --system ${name}`,
    )
  }
}
