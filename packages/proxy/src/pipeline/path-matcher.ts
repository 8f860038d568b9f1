/**
 * A rule's path pattern: `*` stands for any characters, `/` among them; everything else for itself. Compiled to the
 * cheapest test that is right; the general one is linear in the path, whatever the pattern (no backtracking).
 */
export function compilePathPattern(pattern: string): (path: string) => boolean {
  if (pattern === '*') return () => true
  const parts = pattern.split('*')
  if (parts.length === 1) return (path) => path === pattern
  const [prefix] = parts
  const suffix = parts[parts.length - 1]
  const inner = parts.slice(1, -1).filter((part) => part !== '')
  const least = prefix.length + suffix.length
  if (inner.length === 0) {
    if (suffix === '') return (path) => path.startsWith(prefix)
    return (path) => path.length >= least && path.startsWith(prefix) && path.endsWith(suffix)
  }
  return (path) => {
    if (path.length < least || !path.startsWith(prefix) || !path.endsWith(suffix)) return false
    const end = path.length - suffix.length
    let at = prefix.length
    for (const part of inner) {
      // The leftmost place for each part leaves the most room for the next: no other choice can do better.
      const found = path.indexOf(part, at)
      if (found === -1 || found + part.length > end) return false
      at = found + part.length
    }
    return true
  }
}
