--[[ prune: take out what has expired by its own word: forecasts, waiters, watched symbols, statuses,
and who waited for the API budget.

KEYS 1 account prefix   ARGV watcher status age ms
Reply {'ok', forecasts withdrawn} ]]
--@include prelude
local expired = redis.call('ZRANGEBYSCORE', K.forecast_expiry, '-inf', NOW_TEXT, 'LIMIT', 0, 500)
for _, member in ipairs(expired) do
  redis.call('ZREM', K.forecasts, member)
  redis.call('ZREM', K.forecasts_crypto, member)
  redis.call('ZREM', K.forecast_expiry, member)
  redis.call('HDEL', K.forecast_info, member)
  redis.call('HDEL', K.tiers, member)
end
for _, slot in ipairs(redis.call('ZRANGE', K.waiters, 0, 1023)) do
  local expires = string.match(redis.call('HGET', K.waiting, slot) or '', '(%d+)$')
  if not expires or num(expires) <= NOW then
    redis.call('ZREM', K.waiters, slot)
    redis.call('HDEL', K.waiting, slot)
  end
end
local statuses = redis.call('HGETALL', K.watchers)
for i = 1, #statuses, 2 do
  local seen = num(string.match(statuses[i + 1], '"seen": ([%d.]+)')) * 1000
  if NOW - seen > num(ARGV[1]) then redis.call('HDEL', K.watchers, statuses[i]) end
end
redis.call('ZREMRANGEBYSCORE', K.watched, '-inf', NOW_TEXT)
redis.call('ZREMRANGEBYSCORE', K.budget_waiting, '-inf', NOW_TEXT)
return {'ok', int(#expired)}
