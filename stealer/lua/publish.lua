--[[ publish: the keeper writes an account snapshot into the ledger.

The figures are as old as the beginning of their reading, however long the reading took.

Guarantee: refuses a sequence not above the last published one and the certificate's, and a lower
keeper term. Sets limits, positions, foreign exposure and the broker's own figures; absorbs the fills
that were noted when the snapshot began, so that a fill is counted at least once at any moment.

KEYS 1 account prefix
ARGV term, sequence, limit total, limit crypto, positions total, positions crypto, foreign total,
     foreign crypto, broker margin power, broker cash (all micro-dollars)
Reply {'ok', claims deleted}; {'stale'|'uncertified'|'deposed'} ]]
--@include prelude
--@include identity
--@include ledger
--@include wake
--@include claims
local term, sequence = num(ARGV[1]), num(ARGV[2])
if not certified() then return {'uncertified'} end
if term < L.term then return {'deposed'} end
-- Only the latest begun reading: what was drawn since is counted from its beginning.
if sequence <= L.snapshot or sequence <= L.cert_snapshot or sequence ~= L.begun then
  return {'stale'}
end
touch()
local gone = 0
for _, id in ipairs(redis.call('ZRANGE', K.unabsorbed, 0, 999)) do
  local c = load_claim(id)
  if not c then
    redis.call('ZREM', K.unabsorbed, id)
  elseif c.noted_in == int(sequence) then
    local before, before_crypto = charged(c)
    c.absorbed = math.max(c.absorbed, math.min(num(c.noted), c.filled))
    local after, after_crypto = charged(c)
    charge(after - before, after_crypto - before_crypto)
    redis.call('HSET', K.claim(id), 'absorbed', int(c.absorbed))
    if c.absorbed >= c.filled then redis.call('ZREM', K.unabsorbed, id) end
    if c.state == 'closed' and c.absorbed >= c.filled then
      forget(c)
      gone = gone + 1
    end
  end
end
redis.call('HSET', K.ledger, 'limit_total', ARGV[3], 'limit_crypto', ARGV[4], 'positions_total',
    ARGV[5], 'positions_crypto', ARGV[6], 'foreign_total', ARGV[7], 'foreign_crypto', ARGV[8],
    'power_margin', ARGV[9], 'power_cash', ARGV[10], 'snapshot', int(sequence),
    'account_ms', redis.call('HGET', K.ledger, 'begun_ms') or NOW_TEXT)
-- What was charged after the snapshot began is what its figures cannot show yet.
L.since_margin, L.since_cash = L.next_margin, L.next_cash
save_ledger()
L.limit_total, L.limit_crypto = num(ARGV[3]), num(ARGV[4])
L.positions_total, L.positions_crypto = num(ARGV[5]), num(ARGV[6])
L.foreign_total, L.foreign_crypto = num(ARGV[7]), num(ARGV[8])
L.power_margin, L.power_cash = num(ARGV[9]), num(ARGV[10])
wake_best()
return {'ok', int(gone)}
