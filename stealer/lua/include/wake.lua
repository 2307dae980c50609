--[[ Waking a watcher that blocks on its slot's list. A wake may be a false one: it only looks again.
An exit blocks on 'exit|TICKET' and on 'exit|' with what its orders' ids begin with (exit_ids.py). ]]
local function wake(slot)
  local key = K.wake(slot)
  local length = redis.call('LPUSH', key, NOW_TEXT)
  if length == 1 then redis.call('PEXPIRE', key, 60000) else redis.call('LTRIM', key, 0, 0) end
end
