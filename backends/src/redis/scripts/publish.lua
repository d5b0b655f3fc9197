-- Puts publications into the log, and tells those who follow its streams. Without any, it only tells where the log ends.
--
-- KEYS: the log's own hash, with whose name those of the streams begin; the last number of the publishing node's own that is in the log.
-- ARGV: this run of the server, an epoch for a new log, how many streams there are, entries and bytes that a stream may have, what is behind a stream's key in its channel's name, 1 when the publications are pushed to those who follow,
--       and something else when these are only told that there are some; then for each publication the streams it goes into, as a list of numbers from 0, its number among the node's own if it is one, and its bytes. What is
--       in the log already is not put in again.
-- Returns the epoch and the number of the last publication.
local meta = KEYS[1]
local run, epoch, streams, max_entries, max_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local behind, pushed = ARGV[6], ARGV[7] == '1'
local first, overhead = 8, 128

local log = redis.call('HMGET', meta, 'run', 'epoch', 'end')
local number
if log[1] == run then
  epoch = log[2]
  number = tonumber(log[3])
else
  -- Another run of the server may have lost the end of its log: it is a new one.
  redis.call('DEL', meta, KEYS[2])
  for stream = 0, streams - 1 do redis.call('DEL', meta .. ':' .. stream) end
  redis.call('HSET', meta, 'run', run, 'epoch', epoch, 'end', 0)
  number = 0
end

local added, counts, keys, pushes = {}, {}, {}, {}
local own = #ARGV >= first and tonumber(redis.call('GET', KEYS[2]) or '0')
local last_own = own
for i = first, #ARGV, 3 do
  local sequence = tonumber(ARGV[i + 1])
  if not sequence or sequence > own then
    number = number + 1
    last_own = sequence or last_own
    local bytes = ARGV[i + 2]
    local text = string.format('%.0f', number)
    for stream in ARGV[i]:gmatch('%d+') do
      local key = keys[stream]
      if not key then
        key = meta .. ':' .. stream
        keys[stream], added[stream], counts[stream] = key, 0, 0
        if not pushed then pushes[#pushes + 1] = {key .. behind, ''} end
      end
      redis.call('XADD', key, text .. '-0', 'p', bytes)
      added[stream] = added[stream] + #bytes + overhead
      counts[stream] = counts[stream] + 1
      if pushed then pushes[#pushes + 1] = {key .. behind, epoch .. ':' .. text .. ':' .. bytes} end
    end
  end
end
if next(added) then
  redis.call('HSET', meta, 'end', string.format('%.0f', number))
  -- A node that says nothing for an hour has nothing to say again.
  redis.call('SET', KEYS[2], string.format('%.0f', last_own), 'EX', 3600)
end

for stream, size in pairs(added) do
  local key = keys[stream]
  local entries = redis.call('XLEN', key)
  -- Nothing but this is there: whatever was counted before is gone, by whoever's hand.
  if entries == counts[stream] then redis.call('HSET', meta, 'bytes' .. stream, 0) end
  local bytes = redis.call('HINCRBY', meta, 'bytes' .. stream, size)
  -- What is too much goes in bunches, but in none that would hold up Redis for long.
  local few, least_bytes = math.min(max_entries / 10, 1000), max_bytes - math.min(max_bytes / 10, 262144)
  if entries > max_entries + few or bytes > max_bytes then
    local last
    while entries > max_entries or bytes > least_bytes do
      local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', 64)
      -- Somebody took entries out.
      if #oldest == 0 then
        bytes = 0
        break
      end
      for _, entry in ipairs(oldest) do
        if entries <= max_entries and bytes <= least_bytes then break end
        last = entry[1]
        entries = entries - 1
        bytes = bytes - #entry[2][2] - overhead
      end
      last = tonumber(last:match('^%d+'))
      redis.call('XTRIM', key, 'MINID', string.format('%.0f-0', last + 1))
      last = string.format('%.0f', last)
    end
    redis.call('HSET', meta, 'bytes' .. stream, bytes, 'trimmed' .. stream, last)
  end
end

-- At last: what cannot be told is in the log nevertheless.
for _, push in ipairs(pushes) do redis.call('PUBLISH', push[1], push[2]) end
return {epoch, string.format('%.0f', number)}
