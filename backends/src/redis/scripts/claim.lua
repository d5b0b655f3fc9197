-- Claims a message id. KEYS: the claim. ARGV: who claims it and when, and for how many milliseconds.
-- Returns the claim that was there; nothing when this is the first.
local holder = redis.call('GET', KEYS[1])
if holder then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
