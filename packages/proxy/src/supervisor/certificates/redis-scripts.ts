/**
 * KEYS: heads, records, change, changes, fences. ARGV: id, version, head, record ('' = it is gone), channel, greatest
 * number of sets, fence (0 = none). The number of the change; 0 = what is there is as new or newer, -1 = there are too
 * many, -2 = its fence is lower than the last one. What is gone keeps its head, so that an older version does not come
 * back.
 */
export const STORE_SET = `
local heads, records, change, changes, fences = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, version, head, record, channel, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local held = redis.call('HGET', heads, id)
if held and tonumber(string.match(held, '^%d+')) >= tonumber(version) then return 0 end
if not held and redis.call('HLEN', heads) >= tonumber(most) then return -1 end
local fence = tonumber(ARGV[7])
if fence > 0 then
  if fence < tonumber(redis.call('HGET', fences, id) or '0') then return -2 end
  redis.call('HSET', fences, id, ARGV[7])
end
redis.call('HSET', heads, id, head)
if record == '' then redis.call('HDEL', records, id) else redis.call('HSET', records, id, record) end
local number = redis.call('INCR', change)
redis.call('ZADD', changes, number, id)
redis.call('PUBLISH', channel, number)
return number
`

/** KEYS: sequence. ARGV: the highest version that is known, in case that Redis has lost its own. The next one. */
export const NEXT_VERSION = `
local version = redis.call('INCR', KEYS[1])
if version <= tonumber(ARGV[1]) then
  version = tonumber(ARGV[1]) + 1
  redis.call('SET', KEYS[1], version)
end
return version
`
