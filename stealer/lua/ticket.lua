--[[ ticket: one watcher's task, remembered over its restarts: when it began and what was filled.

Guarantee: the first call fixes the start; later ones, until the task expires, find the same start and
every fill of claims that carried the ticket, each claim once. A caller that remembers more (the ledger
was lost) says so: the earlier start counts, and the fills of both, by claim.

KEYS 1 account prefix
ARGV ticket, life ms, fresh (0|1), ms since the start as the caller remembers it, then 'claim qty' of
     each fill that it remembers
Reply {started ms, now ms, 'claim qty', ...} ]]
--@include prelude
local ticket, life, fresh, age = ARGV[1], num(ARGV[2]), ARGV[3], num(ARGV[4])
local key, fills = K.ticket(ticket), K.fills(ticket)
redis.call('EXISTS', key, fills)
if fresh == '1' then redis.call('DEL', key, fills) end
if redis.call('EXISTS', key) == 0 then
  redis.call('SET', key, int(NOW), 'PX', int(life))
  redis.call('DEL', fills)
end
local started = num(redis.call('GET', key))
if NOW - age < started then
  started = NOW - age
  redis.call('SET', key, int(started), 'PX', int(math.max(life - age, 60000)))
end
local reply, told = {int(started), int(NOW)}, {}
for _, line in ipairs(redis.call('LRANGE', fills, 0, -1)) do
  told[string.match(line, '^%S+') or ''] = true
  reply[#reply + 1] = line
end
for i = 5, #ARGV do
  if not told[string.match(ARGV[i], '^%S+') or ''] then
    redis.call('RPUSH', fills, ARGV[i])
    redis.call('PEXPIRE', fills, int(math.max(redis.call('PTTL', key), 604800000)))
    reply[#reply + 1] = ARGV[i]
  end
end
return reply
