--[[ placed: the keeper says what orders and positions the account has in each symbol.

Guarantee: what was said before is gone, and so is this when no keeper says it again.

KEYS 1 account prefix   ARGV term, ttl ms, symbol, 'highest buy, lowest sell, position, closable'
     (a dash for none), ... repeated
Reply {'ok'}; {'deposed'} ]]
--@include prelude
if num(ARGV[1]) < num(redis.call('HGET', K.ledger, 'term')) then return {'deposed'} end
redis.call('DEL', K.placed)
for i = 3, #ARGV, 2 do redis.call('HSET', K.placed, ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', K.placed, ARGV[2])
return {'ok'}
