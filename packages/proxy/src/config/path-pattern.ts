/**
 * Whether a path matches a pattern of literal text and '*', which stands for any characters, '/' included. Only the
 * last star is ever tried again, so the cost is bounded by length of path times length of pattern; there is no
 * pattern that takes exponential time.
 */
export function matchesPathPattern(pattern: string, path: string): boolean {
  let p = 0
  let s = 0
  let starAt = -1
  let resumeAt = 0
  while (s < path.length) {
    if (pattern[p] === '*') {
      starAt = p++
      resumeAt = s
    } else if (p < pattern.length && pattern[p] === path[s]) {
      p++
      s++
    } else if (starAt !== -1) {
      p = starAt + 1
      s = ++resumeAt
    } else {
      return false
    }
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}
