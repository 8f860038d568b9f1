import { HUFFMAN_CODES, HUFFMAN_LENGTHS, STATIC_FIELDS } from '../hpack-tables.ts'

/** Field blocks that say exactly what a test wants, well-formed or not. */

export type Line = readonly [name: string, value: string]

/** Literals without indexing and without Huffman: nothing is checked, nothing remembered. */
export function block(lines: readonly Line[]): Buffer {
  return Buffer.concat(lines.flatMap(([n, v]) => [Buffer.of(0), plainText(n), plainText(v)]))
}

export function get(path: string, ...more: Line[]): Buffer {
  return request('GET', path, ...more)
}

export function request(method: string, path: string, ...more: Line[]): Buffer {
  return block([
    [':method', method],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'a.test'],
    ...more,
  ])
}

export function integer(value: number, mask: number, prefix: number): Buffer {
  if (value < mask) return Buffer.of(prefix | value)
  const octets = [prefix | mask]
  let rest = value - mask
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) | 0x80)
  octets.push(rest)
  return Buffer.from(octets)
}

export function plainText(text: string): Buffer {
  return Buffer.concat([integer(text.length, 0x7f, 0), Buffer.from(text, 'latin1')])
}

export function huffmanText(text: string): Buffer {
  let bits = ''
  for (const octet of Buffer.from(text, 'latin1')) {
    bits += HUFFMAN_CODES[octet].toString(2).padStart(HUFFMAN_LENGTHS[octet], '0')
  }
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1')
  const octets = bits.match(/.{8}/g) ?? []
  const coded = Buffer.from(octets.map((octet) => Number.parseInt(octet, 2)))
  return Buffer.concat([integer(coded.length, 0x7f, 0x80), coded])
}

/** An encoder that uses all of HPACK, as clients do; each choice is taken from `choose`. */
export class ReferenceEncoder {
  #dynamic: Line[] = []
  #maxBytes = 4096

  resize(maxBytes: number): Buffer {
    this.#maxBytes = maxBytes
    this.#evict()
    return integer(maxBytes, 0x1f, 0x20)
  }

  encode(lines: readonly Line[], choose: () => number): Buffer {
    return Buffer.concat(lines.map((line) => this.#encodeLine(line, choose)))
  }

  #encodeLine([name, value]: Line, choose: () => number): Buffer {
    const table = [...STATIC_FIELDS, ...this.#dynamic]
    const exact = table.findIndex(([n, v]) => n === name && v === value) + 1
    const named = table.findLastIndex(([n]) => n === name) + 1
    if (exact > 0 && choose() % 4 !== 0) return integer(exact, 0x7f, 0x80)
    const kind = choose() % 3
    const index = choose() % 4 === 0 ? 0 : named
    const [mask, prefix] = [
      [0x3f, 0x40],
      [0x0f, 0x00],
      [0x0f, 0x10],
    ][kind]
    const text = (value: string) => (choose() % 2 === 0 ? huffmanText(value) : plainText(value))
    const parts = [integer(index, mask, prefix)]
    if (index === 0) parts.push(text(name))
    parts.push(text(value))
    if (kind === 0) {
      this.#dynamic.unshift([name, value])
      this.#evict()
    }
    return Buffer.concat(parts)
  }

  #evict(): void {
    let bytes = 0
    const kept: Line[] = []
    for (const line of this.#dynamic) {
      bytes += line[0].length + line[1].length + 32
      if (bytes > this.#maxBytes) break
      kept.push(line)
    }
    this.#dynamic = kept
  }
}
