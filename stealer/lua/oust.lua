--[[ oust: delete keys of another type that stand where the account's own belong.

Guarantee: what was there before is gone already, and every script that needs it would fail for ever.
Indexes are made again from the claims that other indexes know and from the broker's orders, so their
loss withdraws the certificate: nothing is granted before all was counted anew. The rest comes back
by itself, as watchers and keeper write it, or is a record that was lost. What only a person can know
is left alone: the ledger (it says whether trading is halted) and the keeper's lease.

KEYS 1 account prefix   ARGV term
Reply {'ok', each key that was deleted, ...}; {'deposed'} ]]
--@include prelude
--@include identity
--@include ledger
--@include claims
if num(ARGV[1]) < L.term then return {'deposed'} end
local reply, said, lost = {'ok'}, {}, false

local function oust(key, kind, rebuilt)
  local found = redis.call('TYPE', key).ok
  if found == kind or found == 'none' then return end
  redis.call('DEL', key)
  reply[#reply + 1] = key
  said[#said + 1] = 'it was a ' .. found .. ' and no ' .. kind
  lost = lost or rebuilt
end

for _, key in ipairs({K.claims, K.open, K.heirless, K.deadlines, K.beats, K.unabsorbed}) do
  oust(key, 'zset', true)
end
for _, key in ipairs({K.slots, K.policy}) do oust(key, 'hash', true) end
for _, key in ipairs({K.waiters, K.watched, K.forecasts, K.forecasts_crypto, K.forecast_expiry,
    K.budget_waiting}) do
  oust(key, 'zset')
end
for _, key in ipairs({K.waiting, K.forecast_info, K.quotes, K.counters, K.decisions, K.tiers,
    K.watchers, K.placed, K.placed_exits, K.streams, K.budget, K.data_budget}) do
  oust(key, 'hash')
end
for _, key in ipairs({K.steals, K.dry_steals, K.audit, K.transitions}) do oust(key, 'stream') end
for _, key in ipairs({K.replicated}) do oust(key, 'string') end
if lost then redis.call('HSET', K.ledger, 'run', '', 'account_ms', '0') end
for i, why in ipairs(said) do audit('oust', reply[i + 1], 'keeper', why) end
return reply
