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
redis.call('EXISTS', K.unabsorbed, K.deadlines)
local sequence = next_sequence()
for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.unabsorbed, '-inf', int(NOW - num(lag)),
    'LIMIT', 0, 1000)) do
  local filled = redis.call('HGET', K.claim(id), 'filled')
  if filled then
    redis.call('HSET', K.claim(id), 'noted', filled, 'noted_in', int(sequence))
  else
    redis.call('ZREM', K.unabsorbed, id) -- somebody deleted the claim by hand
  end
end
-- What is drawn but not yet at the broker cannot be in the figures that are about to be read. A
-- reserved claim has drawn what it asked for and what its victims gave back; what it lacks it must draw
-- in its top-up, by the figures of then: drawn here, nobody would have asked whether the broker has it.
L.next_margin, L.next_cash = 0, 0
for _, id in ipairs(redis.call('ZRANGE', K.deadlines, 0, 4095)) do
  local c = redis.call('HMGET', K.claim(id), 'state', 'need', 'crypto', 'draw_margin', 'draw_cash')
  local weight, margin, cash = WEIGHT[c[3] or '0'], num(c[4]), num(c[5])
  if c[1] == 'launching' then
    -- It may be on its way with all it needs, also when a rebuild found it half drawn; both counts and
    -- the claim say the same.
    local all_margin, all_cash = weight.margin * num(c[2]), weight.cash * num(c[2])
    L.since_margin = L.since_margin + all_margin - margin
    L.since_cash = L.since_cash + all_cash - cash
    margin, cash = all_margin, all_cash
    redis.call('HSET', K.claim(id), 'draw_margin', int(margin), 'draw_cash', int(cash))
  end
  L.next_margin, L.next_cash = L.next_margin + margin, L.next_cash + cash
end
redis.call('HSET', K.ledger, 'begun', int(sequence), 'begun_ms', NOW_TEXT)
save_ledger()
return {'ok', int(sequence)}
