--[[ begin: the keeper starts reading an account snapshot.

Guarantee: the sequence number is new, and the fills known by now (older than the lag with which
positions may follow fills) are noted; only what was noted here may the snapshot absorb.

KEYS 1 account prefix   ARGV term, lag ms
Reply {'ok', sequence}; {'uncertified'|'deposed'} ]]
--@include prelude
--@include identity
--@include ledger
local term, lag = unpack(ARGV)
if not certified() then return {'uncertified'} end
if num(term) < L.term then return {'deposed'} end
local sequence = next_sequence()
for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.unabsorbed, '-inf', int(NOW - num(lag)),
    'LIMIT', 0, 1000)) do
  local filled = redis.call('HGET', K.claim(id), 'filled')
  redis.call('HSET', K.claim(id), 'noted', filled or '0', 'noted_in', int(sequence))
end
-- What is charged but not yet at the broker cannot be in the figures that are about to be read;
-- what its pending victims hold there still is, and will be given back.
L.next_margin, L.next_cash = 0, 0
for _, id in ipairs(redis.call('ZRANGE', K.deadlines, 0, 4095)) do
  local c = redis.call('HMGET', K.claim(id), 'need', 'crypto', 'pending', 'draw_margin', 'draw_cash')
  local weight, waits = WEIGHT[c[2] or '0'], num(c[3]) > 0
  L.next_margin = L.next_margin + (waits and num(c[4]) or weight.margin * num(c[1]))
  L.next_cash = L.next_cash + (waits and num(c[5]) or weight.cash * num(c[1]))
end
redis.call('HSET', K.ledger, 'begun', int(sequence))
save_ledger()
return {'ok', int(sequence)}
