import t from 'tap'
import { clusterSlot } from './cluster-slot.ts'

t.test('slots as the Redis Cluster specification gives them', async (t) => {
  t.equal(clusterSlot('123456789'), 0x31c3)
  t.equal(clusterSlot('foo'), 12_182)
  t.equal(clusterSlot('user1000'), 3_443)
  t.equal(clusterSlot(''), 0)
})
