-- Saves a session, and forgets some that have expired.
--
-- KEYS: the session, the users in the order of their bytes, the users by when their sessions end, the changes.
-- ARGV: the user, the session, after how many milliseconds it ends (empty: never), how many sessions and how many changes are kept.
-- Returns 1; 0 when there is no room.
local session, users, ends, changes = unpack(KEYS)
local user, value, life = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local over = redis.call('ZRANGEBYSCORE', ends, '-inf', string.format('(%.0f', now), 'LIMIT', 0, 64)
if #over > 0 then
  redis.call('ZREM', users, unpack(over))
  redis.call('ZREM', ends, unpack(over))
end
if redis.call('ZCARD', users) >= tonumber(ARGV[4]) and not redis.call('ZSCORE', users, user) then
  return 0
end

if life == '' then
  redis.call('SET', session, value)
  redis.call('ZREM', ends, user)
else
  redis.call('SET', session, value, 'PX', life)
  redis.call('ZADD', ends, string.format('%.0f', now + life), user)
end
redis.call('ZADD', users, 0, user)
tell(changes, ARGV[5], 'saved', user)
return 1
