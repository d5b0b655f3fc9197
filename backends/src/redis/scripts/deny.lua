-- Denies a token, and forgets those whose time is over.
--
-- KEYS: the denied tokens by when they end, the changes.
-- ARGV: the token, until when, until when those that ended are forgotten (both in milliseconds of Unix time), how many tokens and how many changes are kept.
-- Returns 1; 0 when there is no room.
local denied, changes = unpack(KEYS)
local token, till = ARGV[1], tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', denied, '-inf', ARGV[3])
if till > tonumber(ARGV[3]) then
  local old = redis.call('ZSCORE', denied, token)
  if not old and redis.call('ZCARD', denied) >= tonumber(ARGV[4]) then return 0 end
  -- Nobody shortens a denial.
  if not old or tonumber(old) < till then redis.call('ZADD', denied, ARGV[2], token) end
end
tell(changes, ARGV[5], 'denied', token)
return 1
