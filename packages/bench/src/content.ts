/** What every server in a comparison sends for a path: `/<size in octets>/<number>`. */

const bySize = new Map<number, Buffer>()

export function contentFor(path: string): Buffer {
  const size = Number(/^\/(\d+)\//.exec(path)?.[1] ?? 0)
  let content = bySize.get(size)
  if (content === undefined) {
    content = Buffer.alloc(size, '0123456789abcdef')
    bySize.set(size, content)
  }
  return content
}
