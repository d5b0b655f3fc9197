-- Lists sessions in the order of their users' bytes.
--
-- KEYS: the users. ARGV: with what sessions' keys begin, behind which user (as ZRANGEBYLEX writes it), how many users are looked at, after how many bytes it is enough.
-- Returns the last user that was looked at, if there may be more, or else nothing; then each user and session.
local users, begin, most = KEYS[1], ARGV[1], tonumber(ARGV[3])
local page, bytes, more = {''}, 0, false
local found = redis.call('ZRANGEBYLEX', users, ARGV[2], '+', 'LIMIT', 0, most)
for i, user in ipairs(found) do
  local session = redis.call('GET', begin .. user)
  -- One without a session has expired, and the next that is saved takes it out.
  if session then
    page[#page + 1] = user
    page[#page + 1] = session
    bytes = bytes + #user + #session
  end
  if i == most or (bytes >= tonumber(ARGV[4]) and i < #found) then
    page[1] = user
    break
  end
end
return page
