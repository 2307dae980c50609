--[[ streams: the keeper says how its connections to the broker's streams are, for people.

Guarantee: what was said before is gone, and so is this when no keeper says it again.

KEYS 1 account prefix   ARGV term, ttl ms, name, 'connected heard connects' (ms ago or a dash; a
     count), ... repeated
Reply {'ok'}; {'deposed'} ]]
--@include prelude
if num(ARGV[1]) < num(redis.call('HGET', K.ledger, 'term')) then return {'deposed'} end
redis.call('DEL', K.streams)
for i = 3, #ARGV, 2 do
  local connected, heard, connects = ARGV[i + 1]:match('^(%S+) (%S+) (%d+)$')
  local function moment(ago) return ago == '-' and '-' or int(NOW - num(ago)) end
  redis.call('HSET', K.streams, ARGV[i],
      moment(connected) .. ' ' .. moment(heard) .. ' ' .. connects)
end
redis.call('PEXPIRE', K.streams, ARGV[2])
return {'ok'}
