-- Counts an upload. KEYS: the counters, the guilds' uploads. ARGV: the guild, how many guilds are counted singly.
local counters, guilds = KEYS[1], KEYS[2]
local day = math.floor(redis.call('TIME')[1] / 86400)
if redis.call('HGET', counters, 'day') ~= tostring(day) then redis.call('HSET', counters, 'day', day, 'today', 0) end
redis.call('HINCRBY', counters, 'today', 1)
if redis.call('HEXISTS', guilds, ARGV[1]) == 1 or redis.call('HLEN', guilds) < tonumber(ARGV[2]) then
  redis.call('HINCRBY', guilds, ARGV[1], 1)
end
return redis.call('HINCRBY', counters, 'uploads', 1)
