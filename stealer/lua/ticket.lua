--[[ ticket: one watcher's task, remembered over its restarts: when it began and what was filled.

Guarantee: the first call fixes the start; later ones, until the task expires, find the same start and
every fill of claims that carried the ticket, each claim once.

KEYS 1 account prefix   ARGV ticket, life ms, fresh (0|1)
Reply {started ms, now ms, 'claim qty', ...} ]]
--@include prelude
local ticket, life, fresh = ARGV[1], num(ARGV[2]), ARGV[3]
local key, fills = K.ticket(ticket), K.fills(ticket)
redis.call('EXISTS', key, fills)
if fresh == '1' then redis.call('DEL', key, fills) end
if redis.call('EXISTS', key) == 0 then
  redis.call('SET', key, int(NOW), 'PX', int(life))
  redis.call('DEL', fills)
end
local reply = {redis.call('GET', key), int(NOW)}
for _, line in ipairs(redis.call('LRANGE', fills, 0, -1)) do reply[#reply + 1] = line end
return reply
