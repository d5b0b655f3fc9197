-- Deletes a session.
--
-- KEYS: the session, the users in the order of their bytes, the users by when their sessions end, the changes.
-- ARGV: the user, how many changes are kept.
-- Returns whether there was one.
local session, users, ends, changes = unpack(KEYS)
local was = redis.call('DEL', session)
redis.call('ZREM', users, ARGV[1])
redis.call('ZREM', ends, ARGV[1])
if was == 1 then tell(changes, ARGV[2], 'deleted', ARGV[1]) end
return was
