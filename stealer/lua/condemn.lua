--[[ condemn: an order with our prefix that the ledger does not know: count it, then cancel it.

Guarantee: charged in full at once, even below zero, as an evicting claim without an heir; it frees
only what the broker reports as terminal. Its slot is free for no other order before. By the keeper;
safe to repeat.

KEYS 1 account prefix
ARGV term, claim, slot, symbol, side, strategy, crypto, qty, limit, need, filled qty, filled, order id
Reply {'condemned'}; {STATE} when the ledger knows it after all; {'deposed'|'uncertified'} ]]
--@include prelude
--@include identity
--@include ledger
--@include claims
local term, id, slot, symbol, side, strategy, crypto, qty, limit, need, filled_qty, filled,
    order_id = unpack(ARGV)
if not certified() then return {'uncertified'} end
if num(term) < L.term then return {'deposed'} end
local state = redis.call('HGET', K.claim(id), 'state')
if state and not redis.call('ZSCORE', K.claims, id) then
  redis.call('DEL', K.claim(id)) -- what is left of a claim that no index knows counts nowhere
  state = nil
end
if state and state ~= 'closed' then return {state} end
touch({id = id, slot = slot})
local known = state == 'closed' and load_claim(id)
local absorbed = known and known.absorbed or 0
local before = known and math.max(known.filled - absorbed, 0) or 0
need, filled = math.max(num(need), absorbed), math.max(num(filled), absorbed)
local change = need - absorbed - before
charge(change, change * WEIGHT[crypto].crypto)
redis.call('HSET', K.claim(id), 'slot', slot, 'symbol', symbol, 'side', side, 'strategy', strategy,
    'crypto', crypto, 'qty', qty, 'limit', limit, 'need', int(need), 'fund', '0',
    'fund_crypto', '0', 'pnl', '0', 'mode', 'normal', 'forced', '0', 'owner', '',
    'fence', int(L.epoch) .. '.' .. int(next_sequence()), 'state', 'evicting',
    'created_ms', NOW_TEXT, 'order_id', order_id, 'heir', '',
    'absorbed', int(absorbed), 'cause', 'condemned', 'by', 'keeper', 'evicted_ms', NOW_TEXT,
    'filled', int(filled), 'filled_qty', filled_qty)
redis.call('ZADD', K.claims, NOW_TEXT, id)
enter_slot(slot, id)
redis.call('ZADD', K.heirless, NOW_TEXT, id)
if filled > absorbed then redis.call('ZADD', K.unabsorbed, NOW_TEXT, id) end
save_ledger()
count('condemned_total')
audit('condemn', id, 'keeper', 'order without a claim')
return {'condemned'}
