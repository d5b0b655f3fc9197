-- Keeps a token.
--
-- KEYS: the token, its user's tokens by when they end.
-- ARGV: the user, the record, the token's name, now and when it ends (both in milliseconds of Unix time), for how many milliseconds it is kept, how many
-- tokens a user has, with what tokens' keys begin.
local token, tokens = KEYS[1], KEYS[2]
redis.call('ZREMRANGEBYSCORE', tokens, '-inf', ARGV[4])
while redis.call('ZCARD', tokens) >= tonumber(ARGV[7]) do
  redis.call('DEL', ARGV[8] .. redis.call('ZPOPMIN', tokens)[1])
end
redis.call('HSET', token, 'user', ARGV[1], 'ends', ARGV[5], 'record', ARGV[2])
redis.call('PEXPIRE', token, ARGV[6])
redis.call('ZADD', tokens, ARGV[5], ARGV[3])
if tonumber(redis.call('PTTL', tokens)) < tonumber(ARGV[6]) then redis.call('PEXPIRE', tokens, ARGV[6]) end
return 1
