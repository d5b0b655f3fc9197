-- Keeps a node's figures, if there are any, and gives those of all nodes.
--
-- KEYS: the nodes by when they told their figures, the figures. ARGV: after how many milliseconds figures are too old, and then the node and its figures.
local told, figures = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local old = redis.call('ZRANGEBYSCORE', told, '-inf', string.format('%.0f', now - ARGV[1]), 'LIMIT', 0, 1000)
if #old > 0 then
  redis.call('ZREM', told, unpack(old))
  redis.call('HDEL', figures, unpack(old))
end
if ARGV[2] then
  redis.call('ZADD', told, string.format('%.0f', now), ARGV[2])
  redis.call('HSET', figures, ARGV[2], ARGV[3])
end
return redis.call('HVALS', figures)
