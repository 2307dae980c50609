--[[ await_price: wake this slot, once, when a quote reaches a price.

A buy waits for an ask at or below it, a sell for a bid at or above it. Registering it looks at the
present quote in the same step, so that no quote between a look and the registration is missed.

KEYS 1 account prefix   ARGV slot, symbol, side, price ('' to wait no more)
Reply {'now'}: the quote has reached it, nothing is registered; {'waiting'}; {'forgotten'} ]]
--@include prelude
--@include identity
--@include ledger
--@include policy
--@include protection
local slot, symbol, side, price = unpack(ARGV)
local key = K.trigger(symbol, side)
local wanted = tonumber(price)
if not wanted then
  redis.call('ZREM', key, slot)
  return {'forgotten'}
end
local q = fresh_quote(symbol)
if q and (side == 'buy' and q.ask <= wanted or side == 'sell' and q.bid >= wanted) then
  redis.call('ZREM', key, slot)
  return {'now'}
end
redis.call('ZADD', key, price, slot)
return {'waiting'}
