--[[ exits: the keeper says what it has heard or listed of exit orders.

Guarantee: a listing takes the place of all that was said before, except what was heard after it
began. It is news and no evidence: whoever acts on an order's end looks it up at the broker. The exit
is woken when its order's words are other than before.

KEYS 1 account prefix
ARGV term ('' for what is heard of single orders), ttl ms, age ms, then id, 'status filled_qty', ...
     repeated
Reply {'ok'}; {'deposed'} ]]
--@include prelude
--@include wake
local listing = ARGV[1] ~= ''
if listing and num(ARGV[1]) < num(redis.call('HGET', K.ledger, 'term')) then return {'deposed'} end
local woken = {}
for i = 4, #ARGV, 2 do
  local said = redis.call('HGET', K.placed_exits, ARGV[i]) or ''
  local chain = string.match(ARGV[i], '^(x_.+)_%d+$')
  if chain and string.match(said, '^%S+ %S+') ~= ARGV[i + 1] then
    woken[#woken + 1] = 'exit|' .. chain
    redis.call('EXISTS', K.wake('exit|' .. chain)) -- read before the first write, as in `touch`
  end
end
local at, before = NOW - num(ARGV[3]), {}
if listing then
  before = redis.call('HGETALL', K.placed_exits)
  redis.call('DEL', K.placed_exits)
end
for i = 4, #ARGV, 2 do
  redis.call('HSET', K.placed_exits, ARGV[i], ARGV[i + 1] .. ' ' .. int(at))
end
for i = 1, #before, 2 do
  if num(string.match(before[i + 1], '(%d+)$')) > at then
    redis.call('HSET', K.placed_exits, before[i], before[i + 1])
  end
end
redis.call('PEXPIRE', K.placed_exits, ARGV[2])
for _, slot in ipairs(woken) do wake(slot) end
return {'ok'}
