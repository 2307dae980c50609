--[[ certify: bind the ledger to the server it runs on and begin a new epoch.

Guarantee: afterwards every script runs here and nowhere else. By the keeper, after it has waited out
what may be in flight; a lower term is refused. Stores the policy all hosts decide by. After a loss
of memory nothing is stolen for one cooldown (pass that as no-steal ms); a later certification does
not shorten it.

KEYS 1 account prefix   ARGV term, no-steal ms, then policy field, value, ...
Reply {'ok', epoch}; {'deposed'|'replica'} ]]
--@include prelude
--@include identity
--@include ledger
--@include claims
--@include stocktake
if num(ARGV[1]) < L.term then return {'deposed'} end
local run, repl = identity()
if run == '' then return {'replica'} end
-- For readers; and, being longer than 64 characters, it makes Redis keep the hash as a table, in which
-- every call finds its thirty fields faster than by searching a list for each.
local ABOUT = 'What this account may use and does use, in micro-dollars, and who certified it. '
    .. 'Written by scripts only.'
-- Charges and indexes are made again from the claims, so that nothing is charged without one. A claim
-- that cannot be read is let go: its order, if it has one, is then one without a claim (`condemn`).
local repaired = L.epoch > 0 and (L.spoiled or not sequences_fit())
local total, crypto = 0, 0
for _, id in ipairs(every_id()) do
  local c, wrong = examined(id)
  if c then
    local more, more_crypto = charged(c)
    total, crypto = total + more, crypto + more_crypto
    redis.call('ZADD', K.claims, 'NX', int(num(c.created_ms)), id)
    local index = index_of(c)
    if index then
      redis.call('ZADD', index, 'NX', index == K.open and c.pnl or int(c.deadline_ms), id)
    end
    if c.state ~= 'closed' and (c.owner or '') ~= '' then
      redis.call('HSETNX', K.slots, c.slot, id)
      redis.call('ZADD', K.beats, 'NX', int(NOW), id)
    end
    if c.filled > c.absorbed then redis.call('ZADD', K.unabsorbed, 'NX', int(NOW), id) end
  else
    repaired = true
    for _, key in ipairs({K.claims, K.open, K.heirless, K.deadlines, K.beats, K.unabsorbed}) do
      redis.call('ZREM', key, id)
    end
    local slots = redis.call('HGETALL', K.slots)
    for i = 1, #slots, 2 do
      if slots[i + 1] == id then redis.call('HDEL', K.slots, slots[i]) end
    end
    redis.call('DEL', K.claim(id))
    audit('spoiled', id, 'keeper', 'the claim was ' .. wrong)
  end
end
if L.epoch > 0 and (total ~= L.charged_total or crypto ~= L.charged_crypto) then
  repaired = true
  audit('recount', '-', 'keeper', 'charges were ' .. int(L.charged_total) .. ' and '
      .. int(L.charged_crypto) .. ', are ' .. int(total) .. ' and ' .. int(crypto))
end
L.charged_total, L.charged_crypto = total, crypto
if not sequences_fit() then
  L.snapshot, L.begun = 0, 0
  redis.call('HSET', K.ledger, 'snapshot', '0', 'begun', '0')
end
for i = 1, TEXT_FROM - 1 do redis.call('HSETNX', K.ledger, NUMBERS[i], '0') end
if repaired then
  -- Figures of which some were spoiled decide nothing: a new snapshot must come first.
  for _, name in ipairs({'limit_total', 'limit_crypto', 'positions_total', 'positions_crypto',
      'foreign_total', 'foreign_crypto', 'power_margin', 'power_cash', 'account_ms'}) do
    redis.call('HSET', K.ledger, name, '0')
  end
end
if L.spoiled then
  for _, name in ipairs({'snapshot', 'begun', 'term', 'session_until'}) do
    redis.call('HSET', K.ledger, name, int(L[name]))
  end
end
local sequence = next_sequence()
local fields = {}
for i = 3, #ARGV do fields[#fields + 1] = ARGV[i] end
if #fields > 0 then redis.call('HSET', K.policy, unpack(fields)) end
redis.call('HSET', K.ledger, 'run', run, 'repl', repl, 'epoch', int(L.epoch + 1),
    'cert_snapshot', int(sequence), 'certified_ms', int(NOW),
    'no_steal_until', int(math.max(L.no_steal_until, num(ARGV[2]) > 0 and NOW + num(ARGV[2]) or 0)),
    'about', ABOUT, 'policy_version', int(sequence) .. '@' .. clock_text())
save_ledger()
-- While nothing was certified no sign of life could be noted: every owner begins anew.
for _, id in ipairs(redis.call('ZRANGE', K.beats, 0, -1)) do
  redis.call('ZADD', K.beats, int(NOW), id)
end
return {'ok', int(L.epoch + 1)}
