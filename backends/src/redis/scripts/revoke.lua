-- Takes tokens away and denies them, so that their sockets end.
--
-- KEYS: the denied tokens by when they end, the changes, and the tokens of a user if all of them are meant.
-- ARGV: with what the keys of tokens and of users' tokens begin, until when denials that ended are forgotten, how many denials and how many changes are kept,
-- and the token's name if one is meant.
-- Returns how many there were.
local denied, changes, all = KEYS[1], KEYS[2], KEYS[3]
local names = {ARGV[6]}
if all then names = redis.call('ZRANGE', all, 0, -1) end
redis.call('ZREMRANGEBYSCORE', denied, '-inf', ARGV[3])
local revoked = 0
for _, name in ipairs(names) do
  local key = ARGV[1] .. name
  local token = redis.call('HMGET', key, 'user', 'ends')
  if token[1] then
    redis.call('DEL', key)
    redis.call('ZREM', ARGV[2] .. token[1], name)
    -- The token is gone whether or not there is room for a denial, which is for the sockets alone.
    if redis.call('ZCARD', denied) < tonumber(ARGV[4]) then redis.call('ZADD', denied, 'GT', token[2], name) end
    tell(changes, ARGV[5], 'denied', name)
    revoked = revoked + 1
  end
end
return revoked
