--[[ close: the broker says the order can never fill again, with its final filled quantity.

Guarantee: the only way a charge is freed for a claim whose POST may be out. need - filled goes to
the heir first and is otherwise free, and wakes the best waiter that fits; filled - absorbed stays
charged until an account snapshot shows it as position. A fill that was not known wakes the exit of
the claim's ticket. By anyone; safe to repeat.

KEYS 1 account prefix
ARGV claim, order id, terminal status, filled qty, filled micro-dollars at the worst price, why, for
     an end that the broker did not state, or that we did not ask for ('' otherwise)
Reply {'closed', freed, an heir was paid (0|1)}; {'gone'|'wrong_state:reserved'|'uncertified'} ]]
--@include prelude
--@include identity
--@include ledger
--@include wake
--@include claims
local id, order_id, status, filled_qty, filled, why = unpack(ARGV)
if not certified() then return {'uncertified'} end
local c = load_claim(id)
if not c then return {'gone'} end
if c.state == 'reserved' then return {'wrong_state:reserved'} end
if c.state == 'closed' then return {'closed', '0'} end
touch(c)
-- Fills are remembered as long as their task, and a week at least.
local fills_ms = math.max(redis.call('PTTL', K.ticket(c.ticket or '')), 604800000)
filled = math.max(c.filled, math.min(num(filled), c.need))
local freed = c.need - filled
local held = c.need - c.absorbed
local kept = math.max(filled - c.absorbed, 0)
charge(kept - held, (kept - held) * c.weight.crypto)
if (c.ticket or '') ~= '' and filled > 0 then
  redis.call('RPUSH', K.fills(c.ticket), id .. ' ' .. filled_qty)
  redis.call('PEXPIRE', K.fills(c.ticket), int(fills_ms))
end
spend_cash(c, filled)
local heir_slot = pay_heir(c, freed)
unindex(c)
remember_end(c, status, filled_qty, c.cause or '', c.by or '')
if kept > 0 then
  redis.call('HSET', K.claim(id), 'state', 'closed', 'order_id', order_id, 'filled', int(filled),
      'filled_qty', filled_qty, 'status', status, 'heir', '')
  if filled > c.filled then
    redis.call('HSET', K.claim(id), 'filled_ms', NOW_TEXT)
    redis.call('ZADD', K.unabsorbed, NOW_TEXT, id)
  end
else
  forget(c)
end
save_ledger()
count('closed:' .. status)
-- Canceled without an eviction is true only of an open claim, whatever the caller saw before.
local ours = status == 'canceled' and c.state ~= 'open'
if (why or '') ~= '' and not ours then audit('close', id, 'keeper', why) end
if heir_slot then wake(heir_slot) end -- first: a price waits for it
wake(c.slot)
if (c.ticket or '') ~= '' and filled > c.filled then wake('exit|' .. c.ticket) end
if freed > 0 then wake_best() end
return {'closed', int(freed), heir_slot and '1' or '0'}
