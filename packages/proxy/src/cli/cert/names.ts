import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { UsageError } from '../command.ts'

/** Host names, wildcards and addresses as a certificate has them. */
export function certificateNames(words: readonly string[]): string[] {
  if (words.length === 0) throw new UsageError('For which names? Give at least one.')
  return words.map((word) => {
    if (isIP(word) !== 0) return word
    const isWildcard = word.startsWith('*.')
    const host = domainToASCII(isWildcard ? word.slice(2) : word)
    if (host === '' || !/^[a-z0-9_.-]+$/.test(host)) {
      throw new UsageError(`'${word}' is no host name. A wildcard is '*.' in front of one.`)
    }
    return isWildcard ? `*.${host}` : host
  })
}

/** The first name as files have it. */
export function stemOf(name: string): string {
  return name.replace(/^\*/, '_').replaceAll(':', '-')
}
