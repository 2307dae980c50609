--[[ watch: somebody needs the quote of these symbols for a while.

KEYS 1 account prefix   ARGV ttl ms, symbol, ...
Reply {'ok'} ]]
--@include prelude
local ttl = num(ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', K.watched, 'GT', int(NOW + ttl), ARGV[i]) end
return {'ok'}
