-- Begins every script that changes something which is watched. `changes` is a stream whose entries have numbers without a hole, so that whoever reads it
-- sees what it missed. A stream that begins anew begins with a number that no earlier one had, since it is the time in microseconds.
local function last_change(changes)
  local last = redis.call('XREVRANGE', changes, '+', '-', 'COUNT', 1)[1]
  if last then return tonumber(last[1]:match('^%d+')) end
  local time = redis.call('TIME')
  local number = time[1] * 1000000 + time[2]
  redis.call('XADD', changes, string.format('%.0f-0', number), 'begun', '')
  return number
end

local function tell(changes, most, kind, id)
  local number = last_change(changes) + 1
  redis.call('XADD', changes, 'MAXLEN', '~', most, string.format('%.0f-0', number), kind, id)
end

