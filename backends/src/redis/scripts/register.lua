-- Puts a node among those that are there, and says which are.
--
-- KEYS: the nodes by their last heartbeat, this node's inbox. ARGV: the node, after how many milliseconds a silent node is gone, for how long an inbox is
-- kept, and 1 when the node has just come and its name must be free.
-- Returns the nodes; none when the name is taken.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
if ARGV[4] == '1' then
  if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return {} end
  redis.call('DEL', KEYS[2])
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return redis.call('ZRANGE', KEYS[1], 0, -1)
