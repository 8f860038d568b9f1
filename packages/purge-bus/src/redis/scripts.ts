/**
 * What has to happen at once in Redis. All scripts begin by looking whether history was broken, which is described in
 * docs/decisions/purge-sequence.md.
 *
 * state: epoch    which history this is; a new one begins whenever Redis may have lost the end of the former
 *        run      of the server that wrote last (a restart or a failover changes it)
 *        seq      the highest number given
 *        base     the number with which this epoch began; raised as machines give back what was lost
 *        settled  Redis time, ms, from which on numbers are given: until then machines give back what they remember
 *        history  'epoch:base,epoch:base', the current one last
 * log:   '<number>-0' m <message> [p <number before it, when some were left out>]
 */
const MAX_EPOCHS = 50
export const REFERENCES_FOR_MS = 24 * 3_600_000
const RAW_FOR_MS = 60_000
const BAD_FOR_MS = 1_000

/** KEYS: state, log. ARGV: new epoch, settle ms, the caller's epoch, its position. */
const BEGIN = `
local function text(number) return string.format('%.0f', number) end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local held = redis.call('HMGET', KEYS[1], 'epoch', 'run', 'seq', 'base', 'settled', 'history')
local epoch, seq, base = held[1], tonumber(held[3]) or 0, tonumber(held[4]) or 0
local settled, history = tonumber(held[5]) or 0, held[6] or ''
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if newest then seq = math.max(seq, tonumber(string.match(newest[1], '^%d+'))) end
if not epoch or held[2] ~= run or (ARGV[3] == epoch and tonumber(ARGV[4]) > seq) then
  epoch, base, settled = ARGV[1], seq, now + tonumber(ARGV[2])
  local epochs = {}
  for each in string.gmatch(history, '[^,]+') do epochs[#epochs + 1] = each end
  while #epochs >= ${MAX_EPOCHS} do table.remove(epochs, 1) end
  epochs[#epochs + 1] = epoch .. ':' .. text(base)
  history = table.concat(epochs, ',')
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'run', run, 'seq', text(seq), 'base', text(base),
    'settled', text(settled), 'history', history)
end
-- A clock that was set back does not keep numbers from being given.
local settlesIn = settled - now
if settlesIn < 0 or settlesIn > tonumber(ARGV[2]) then settlesIn = 0 end
-- The highest number that the caller's epoch and this one certainly have in common.
local kept, seen = nil, false
for each, from in string.gmatch(history, '([^:,]+):(%d+)') do
  if seen then kept = math.min(kept or tonumber(from), tonumber(from)) end
  if each == ARGV[3] then seen, kept = true, nil end
end
if not seen then
  for _, from in string.gmatch(history, '([^:,]+):(%d+)') do
    kept = math.min(kept or tonumber(from), tonumber(from))
  end
end
if not kept then kept = seq end
`

/** Appends to the log and tells everyone, all of one call in one message. Uses `maxLog` and `channel`. */
const NUMBER = `
local before, numbered, left = nil, {}, seq
local function number(message)
  if not before then before = left end
  local first = seq + 1
  seq = first
  if #numbered == 0 and before < first - 1 then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', maxLog, text(seq) .. '-0', 'm', message, 'p', text(before))
  else
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', maxLog, text(seq) .. '-0', 'm', message)
  end
  numbered[#numbered + 1] = message
  return seq
end
local function tell()
  redis.call('HSET', KEYS[1], 'seq', text(seq))
  if #numbered == 0 then return end
  local head = epoch .. ' ' .. text(before) .. ' ' .. text(seq - #numbered + 1)
  redis.call('PUBLISH', channel, head .. '\\n[' .. table.concat(numbered, ',') .. ']')
end
`

/** Uses `references`, `times` (keys) and `maxReferences`. */
const REFER = `
local function refer(reference, number)
  redis.call('HSET', references, reference, number)
  redis.call('ZADD', times, text(now), reference)
  local old = redis.call('ZRANGEBYSCORE', times, '-inf', text(now - ${REFERENCES_FOR_MS}), 'LIMIT', 0, 10)
  if redis.call('ZCARD', times) > maxReferences then old = redis.call('ZRANGE', times, 0, 9) end
  for _, each in ipairs(old) do
    if each ~= reference then
      redis.call('ZREM', times, each)
      redis.call('HDEL', references, each)
    end
  end
end
`

/**
 * KEYS: state, log, machines, references, reference times, due, due messages.
 * ARGV: as BEGIN, machine, its workers (JSON), numbered channel, length of the log, greatest number of references.
 * Gives back: epoch, seq, first number that the log holds, kept, ms until it has settled, history, ms until the next
 * scheduled purge (-1 = none), how many are scheduled, Redis time, machines. Numbers what is due.
 */
export const BEAT = `${BEGIN}
local channel, maxLog, maxReferences = ARGV[7], ARGV[8], tonumber(ARGV[9])
local references, times = KEYS[4], KEYS[5]
${NUMBER}${REFER}
if ARGV[5] ~= '' then redis.call('HSET', KEYS[3], ARGV[5], text(now) .. ' ' .. ARGV[6]) end
if settlesIn == 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', text(now), 'LIMIT', 0, 100)) do
    local message = redis.call('HGET', KEYS[7], id)
    if message then refer(id, text(number(message))) end
    redis.call('ZREM', KEYS[6], id)
    redis.call('HDEL', KEYS[7], id)
  end
  if #numbered > 0 then tell() end
end
local next = redis.call('ZRANGE', KEYS[6], 0, 0, 'WITHSCORES')[2]
local nextIn = next and math.max(0, tonumber(next) - now) or -1
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local first = oldest and string.match(oldest[1], '^%d+') or text(seq + 1)
return {epoch, text(seq), first, text(kept), text(settlesIn), history, text(nextIn),
  text(redis.call('ZCARD', KEYS[6])), text(now), redis.call('HGETALL', KEYS[3])}
`

/**
 * KEYS: state, log, references, reference times, due, due messages, and one per message.
 * ARGV: as BEGIN, numbered channel, length of the log, greatest number of references, of scheduled purges; then for each
 * message: text, reference, id by which it is remembered for a while, number heard when it came, instant at which it is
 * due, id as a scheduled purge; '' where there is none.
 * Gives back 'settling', 'epoch', or for each message its number, 'due <id>' or 'full'.
 */
export const PUBLISH = `${BEGIN}
if settlesIn > 0 then return 'settling' end
if ARGV[3] ~= '' and ARGV[3] ~= epoch then return 'epoch' end
local channel, maxLog, maxReferences = ARGV[5], ARGV[6], tonumber(ARGV[7])
local references, times = KEYS[3], KEYS[4]
${NUMBER}${REFER}
local answers = {}
for i = 0, (#ARGV - 8) / 6 - 1 do
  local at = 9 + i * 6
  local message, reference, remembered, heard = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local due, id = ARGV[at + 4], ARGV[at + 5]
  local answer
  if reference ~= '' then answer = redis.call('HGET', references, reference) end
  if answer and string.sub(answer, 1, 4) == 'due ' then
    answer = redis.call('HGET', references, string.sub(answer, 5)) or answer
  end
  if not answer and id ~= '' then
    answer = redis.call('HGET', references, id)
    if not answer and redis.call('ZSCORE', KEYS[5], id) then answer = 'due ' .. id end
  end
  if not answer and remembered ~= '' then
    local given = redis.call('GET', KEYS[7 + i])
    if given and tonumber(given) > tonumber(heard) then answer = given end
  end
  if not answer and due ~= '' and tonumber(due) > now then
    if redis.call('ZCARD', KEYS[5]) >= tonumber(ARGV[8]) then
      answer = 'full'
    else
      redis.call('ZADD', KEYS[5], due, id)
      redis.call('HSET', KEYS[6], id, message)
      answer = 'due ' .. id
      if reference ~= '' then refer(reference, answer) end
    end
  elseif not answer then
    answer = text(number(message))
    if reference ~= '' then refer(reference, answer) end
    if id ~= '' then refer(id, answer) end
    if remembered ~= '' then redis.call('SET', KEYS[7 + i], answer, 'PX', ${RAW_FOR_MS}) end
  end
  answers[#answers + 1] = answer
end
if #numbered > 0 then tell() end
return answers
`

/**
 * A machine that knows more than Redis gives it back. KEYS: state, log. ARGV: as BEGIN (the caller's epoch is one that
 * has ended, its position the last number it has), the epoch that it has seen, numbered channel, length of the log, the
 * caller's history, number of its first remembered purge, then those up to its position, one after the other.
 * Gives back: 'epoch' (another one has begun), or what was done, and seq.
 */
export const RESTORE = `${BEGIN}
if ARGV[5] ~= epoch then return {'epoch', '0'} end
local channel, maxLog = ARGV[6], ARGV[7]
${NUMBER}
local from, to = tonumber(ARGV[9]), tonumber(ARGV[4])
local function rebase()
  base = seq
  local former = string.gsub(history, '[^,]*$', '')
  if former == '' and ARGV[8] ~= '' then former = ARGV[8] .. ',' end
  redis.call('HSET', KEYS[1], 'base', text(base), 'history', former .. epoch .. ':' .. text(base))
end
local done
if to <= kept then
  done = 'known'
elseif kept == base and seq == base then
  if from > base + 1 then
    -- What lies between is lost to whoever has not got it: the log says so by where it begins.
    redis.call('DEL', KEYS[2])
    seq = from - 1
    left = seq
  end
  for number_ = seq + 1, to do number(ARGV[10 + number_ - from]) end
  seq = to
  tell()
  rebase()
  done = 'restored'
else
  -- Two histories. The numbers of the other one are taken: the caller's purges get new ones.
  seq = math.max(seq, to)
  for number_ = math.max(kept + 1, from), to do number(ARGV[10 + number_ - from]) end
  if from > kept + 1 then number('{"type":"all","soft":false}') end
  tell()
  done = 'renumbered'
end
return {done, text(seq)}
`

/** KEYS: one per complaint. ARGV: errors channel, complaint. */
export const COMPLAIN = `
if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ${BAD_FOR_MS}) then redis.call('PUBLISH', ARGV[1], ARGV[2]) end
return 1
`
