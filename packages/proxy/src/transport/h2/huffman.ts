import { HUFFMAN_CODES, HUFFMAN_LENGTHS } from './hpack-tables.ts'

/**
 * The Huffman code of HPACK (RFC 7541 §5.2), read four bits at a time. Each inner node of the code tree is a state;
 * for each state and nibble one number says where to go, what to emit (no code is shorter than five bits, so a nibble
 * ends at most one) and whether the input is broken. Traded: 16 KiB of table for no loop over bits.
 */

const EMIT = 0x100
const BROKEN = 0x200
const OCTET_SHIFT = 16
const EOS = 256

const TRANSITIONS = new Uint32Array(256 * 16)
/** 1 where the text may end: at most seven bits into a code, all ones. */
const MAY_END = new Uint8Array(256)

interface Node {
  /** Both present in an inner node, both null in a leaf. */
  readonly next: [Node | null, Node | null]
  octet: number
  state: number
}

buildTables()

/** Decodes into `target`, which must hold 8/5 of the input; the decoded length, or -1 for COMPRESSION_ERROR. */
export function decodeHuffman(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
): number {
  let state = 0
  let length = 0
  for (let i = start; i < end; i++) {
    const octet = source[i]
    let step = TRANSITIONS[(state << 4) | (octet >> 4)]
    if (step & EMIT) target[length++] = step >>> OCTET_SHIFT
    else if (step & BROKEN) return -1
    step = TRANSITIONS[((step & 0xff) << 4) | (octet & 0xf)]
    if (step & EMIT) target[length++] = step >>> OCTET_SHIFT
    else if (step & BROKEN) return -1
    state = step & 0xff
  }
  return MAY_END[state] === 1 ? length : -1
}

function buildTables(): void {
  const root = node()
  for (let octet = 0; octet <= EOS; octet++) addCode(root, octet)
  const states: Node[] = []
  numberStates(root, states)
  // The padding is the beginning of EOS, which is all ones, and shorter than an octet.
  let padding: Node | null = root
  for (let bits = 0; bits < 8 && padding !== null; bits++) {
    MAY_END[padding.state] = 1
    padding = padding.next[1]
  }
  for (const from of states) {
    for (let nibble = 0; nibble < 16; nibble++) {
      TRANSITIONS[(from.state << 4) | nibble] = transition(root, from, nibble)
    }
  }
}

function transition(root: Node, from: Node, nibble: number): number {
  let at = from
  let emitted = 0
  for (let bit = 3; bit >= 0; bit--) {
    // An inner node has both children: the code is complete.
    at = at.next[(nibble >> bit) & 1]!
    if (at.octet === EOS) return BROKEN
    if (at.octet < 0) continue
    emitted = EMIT | (at.octet << OCTET_SHIFT)
    at = root
  }
  return emitted | at.state
}

function node(): Node {
  return { next: [null, null], octet: -1, state: 0 }
}

function addCode(root: Node, octet: number): void {
  let at = root
  for (let bit = HUFFMAN_LENGTHS[octet] - 1; bit >= 0; bit--) {
    at = at.next[(HUFFMAN_CODES[octet] >>> bit) & 1] ??= node()
  }
  at.octet = octet
}

function numberStates(at: Node, states: Node[]): void {
  if (at.octet >= 0) return
  at.state = states.length
  states.push(at)
  for (const next of at.next) if (next !== null) numberStates(next, states)
}
