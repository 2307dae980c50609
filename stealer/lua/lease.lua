--[[ lease: take, renew or give up the keeper's lease.

Guarantee: one holder at a time; each new holder has a higher term, by which its later calls are
fenced. A renewal keeps the term.

KEYS 1 account prefix   ARGV holder, ttl ms (0 gives it up)
Reply {'held', term}; {'other', holder, ttl ms}; {'released'} ]]
--@include prelude
local holder, ttl = ARGV[1], num(ARGV[2])
local current = redis.call('GET', K.keeper)
redis.call('EXISTS', K.ledger)
-- A lease always ends by itself; what stands there for ever is somebody else's and no lease.
if current and current ~= holder and redis.call('PTTL', K.keeper) == -1 then current = nil end
if ttl <= 0 then
  if current == holder then redis.call('DEL', K.keeper) end
  return {'released'}
end
if current and current ~= holder then
  return {'other', current, int(math.max(redis.call('PTTL', K.keeper), 0))}
end
redis.call('SET', K.keeper, holder, 'PX', int(ttl))
local term = num(redis.call('HGET', K.ledger, 'term'))
if not current then
  term = term + 1
  redis.call('HSET', K.ledger, 'term', int(term))
end
return {'held', int(term)}
