import { onBoth } from '../support/edge.ts'

onBoth(
  'a fresh stored response is used without asking the origin (RFC 9111 §4)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: { 'Cache-Control': 'max-age=60' }, body: 'hello' })
    const first = await get('/')
    const second = await get('/')
    t.equal(origin.asked(), 1)
    t.match(first.cacheStatus, /^Larder; fwd=uri-miss; fwd-status=200; stored; ttl=60/)
    t.match(second.cacheStatus, /^Larder; hit; ttl=60/)
    t.equal(second.text, 'hello')
  },
)
