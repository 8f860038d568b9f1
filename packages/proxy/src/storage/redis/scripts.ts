/**
 * What has to happen at once, for Redis 6 as for 7 (PEXPIRE has NX and GT from 7.0 on only). A head without an expiry
 * would stay for ever, so no worker may die between the two.
 */

/**
 * KEYS: heads [, body that is there already]. ARGV: slot, value, expiry in ms, greatest number of variants,
 * stamp of the newest that it may replace.
 * 1 = stored, 0 = not: something newer is there, or the body is not. Nothing is deleted without need: once a script
 * has written anything, Redis lets it go on writing beyond maxmemory.
 */
export const STORE_HEAD = `
local heads, slot, value, expiry, newest = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5]
local kind = redis.call('TYPE', heads).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', heads) end
local held = redis.call('HGET', heads, slot)
if held and string.sub(held, 1, 8) > newest then return 0 end
if KEYS[2] and redis.call('PEXPIRE', KEYS[2], expiry) == 0 then
  redis.call('HDEL', heads, slot)
  return 0
end
if not held and redis.call('HLEN', heads) >= tonumber(ARGV[4]) then redis.call('DEL', heads) end
redis.call('HSET', heads, slot, value)
if redis.call('PTTL', heads) < expiry then redis.call('PEXPIRE', heads, expiry) end
return 1
`

/** KEYS: lease. ARGV: who, ms. Who holds it from now on. */
export const TAKE_LEASE = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return ARGV[1] end
return redis.call('GET', KEYS[1])
`

/** KEYS: lease. ARGV: who, what stands there from now on ('' = nothing), ms. Only whoever holds it changes it. */
export const GIVE_LEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
`

/** KEYS: heads. ARGV: slot, beginning of the value that is to go. A successor stays. */
export const REMOVE_HEAD = `
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or string.sub(held, 1, #ARGV[2]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
`
