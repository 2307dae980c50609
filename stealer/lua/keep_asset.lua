--[[ keep_asset: what the broker said of a symbol, for everybody for a while; nothing: forget it.

KEYS 1 account prefix   ARGV symbol, text or '', ttl ms
Reply {'ok'} ]]
--@include prelude
local symbol, text, ttl = unpack(ARGV)
if text == '' then
  redis.call('DEL', K.asset(symbol))
else
  redis.call('SET', K.asset(symbol), text, 'PX', ttl)
end
redis.call('DEL', K.reading(symbol))
return {'ok'}
