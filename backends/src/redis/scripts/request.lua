-- Puts a request into the inbox of each other node, tells them so, and says which these are.
--
-- KEYS: the nodes by their last heartbeat. ARGV: what the names of inboxes begin with, the asking node, the request's id, its bytes, after how many
-- milliseconds a silent node is gone, for how long an inbox is kept, how many messages it may have, and what is behind its name in that of its channel.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[5])
local asked = {}
for _, node in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if node ~= ARGV[2] then
    local inbox = ARGV[1] .. node
    redis.call('XADD', inbox, 'MAXLEN', '~', ARGV[7], '*', 'kind', 'request', 'from', ARGV[2], 'id', ARGV[3], 'body', ARGV[4])
    redis.call('PEXPIRE', inbox, ARGV[6])
    redis.call('PUBLISH', inbox .. ARGV[8], '')
    asked[#asked + 1] = node
  end
end
return asked
