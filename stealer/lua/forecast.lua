--[[ forecast: publish, replace or withdraw the forecast PnL of a symbol and strategy.

Guarantee: the rankings and the open orders of that symbol and strategy move together, so that
"worst live PnL" is always by the latest forecast.

A watcher's own forecast is weak: it neither replaces nor withdraws one that came from elsewhere.

KEYS 1 account prefix
ARGV symbol, strategy, crypto (0|1), pnl ('' withdraws), ttl ms (0 for ever), source, weak (0|1)
Reply {'ok', rank}; {'withdrawn'}; {'kept'} ]]
--@include prelude
local symbol, strategy, crypto, pnl, ttl, source, weak = unpack(ARGV)
local member = symbol .. '|' .. strategy
redis.call('EXISTS', K.forecasts, K.forecasts_crypto, K.forecast_info, K.forecast_expiry)
if weak == '1' then
  local known = string.match(redis.call('HGET', K.forecast_info, member) or '', '^%d+ (.*)$')
  if known and known ~= source then return {'kept'} end
end
redis.call('ZREM', K.forecast_expiry, member)
if pnl == '' then
  redis.call('ZREM', K.forecasts, member)
  redis.call('ZREM', K.forecasts_crypto, member)
  redis.call('HDEL', K.forecast_info, member)
  redis.call('HDEL', K.tiers, member)
  return {'withdrawn'}
end
redis.call('ZADD', K.forecasts, pnl, member)
if crypto == '1' then redis.call('ZADD', K.forecasts_crypto, pnl, member) end
redis.call('HSET', K.forecast_info, member, NOW_TEXT .. ' ' .. source)
if num(ttl) > 0 then redis.call('ZADD', K.forecast_expiry, int(NOW + num(ttl)), member) end
for _, side in ipairs({'buy', 'sell'}) do
  local claim = redis.call('HGET', K.slots, symbol .. '|' .. side .. '|' .. strategy)
  if claim then redis.call('ZADD', K.open, 'XX', pnl, claim) end
end
return {'ok', int(redis.call('ZREVRANK', K.forecasts, member))}
