-- Puts publications into the log. Without any, it only tells where the log ends.
--
-- KEYS: the log's own hash, the stream that every node reads, the streams of the rooms.
-- ARGV: this run of the server, an epoch for a new log, entries and bytes that a stream may have; then for each publication the streams it goes into, as a
--       list of numbers from 0, and its bytes.
-- Returns the epoch and the number of the last publication.
local meta = KEYS[1]
local run, epoch, max_entries, max_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local overhead = 128

local log = redis.call('HMGET', meta, 'run', 'epoch', 'end')
local number
if log[1] == run then
  epoch = log[2]
  number = tonumber(log[3])
else
  -- Another run of the server may have lost the end of its log: it is a new one.
  redis.call('DEL', unpack(KEYS))
  redis.call('HSET', meta, 'run', run, 'epoch', epoch, 'end', 0)
  number = 0
end

local added = {}
for i = 5, #ARGV, 2 do
  number = number + 1
  local id = string.format('%.0f-0', number)
  local size = #ARGV[i + 1] + overhead
  for stream in ARGV[i]:gmatch('%d+') do
    redis.call('XADD', KEYS[stream + 2], id, 'p', ARGV[i + 1])
    added[stream] = (added[stream] or 0) + size
  end
end
if #ARGV > 4 then
  redis.call('HSET', meta, 'end', string.format('%.0f', number))
end

for stream, size in pairs(added) do
  local key = KEYS[stream + 2]
  local entries = redis.call('XLEN', key)
  local bytes = redis.call('HINCRBY', meta, 'bytes' .. stream, size)
  -- A tenth more than allowed, and a tenth of it goes at once.
  if entries > max_entries * 1.1 or bytes > max_bytes then
    local last
    while entries > max_entries or bytes > max_bytes * 0.9 do
      local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', 64)
      for _, entry in ipairs(oldest) do
        if entries <= max_entries and bytes <= max_bytes * 0.9 then break end
        last = entry[1]
        entries = entries - 1
        bytes = bytes - #entry[2][2] - overhead
      end
      last = tonumber(last:match('^%d+'))
      redis.call('XTRIM', key, 'MINID', string.format('%.0f-0', last + 1))
      last = string.format('%.0f', last)
      if #oldest == 0 then break end
    end
    redis.call('HSET', meta, 'bytes' .. stream, bytes, 'trimmed' .. stream, last)
  end
end
return {epoch, string.format('%.0f', number)}
