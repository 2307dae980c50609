--[[ The identity of an in-memory test server, which has no INFO: a test writes it to a key. ]]
local clustered = true -- for all that is known

local function identity()
  local id = redis.call('GET', 'stealer-test-identity') or ''
  return id, id
end
