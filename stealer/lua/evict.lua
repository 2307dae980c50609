--[[ evict: an open order is to be canceled for a recorded cause; irrevocable.

Guarantee: nothing is freed: only `close` does that, on terminal evidence. By owner, operator or the
orphan rule. With raise = 1 the owner's fence is raised, so that its later calls are refused. The
first cause stays. Nobody inherits yet: the claim becomes heirless.

KEYS 1 account prefix
ARGV claim, fence ('' when not the owner), cause, by, raise (0|1), ms the owner must have been silent
     (0: whatever it says)
Reply {'evicting', order id}; {STATE} for a claim that is not open; {'alive'} for an owner that gave a
      sign of life; {'gone'|'fenced'|'uncertified'} ]]
--@include prelude
--@include identity
--@include ledger
--@include wake
--@include claims
local id, fence, cause, by, raise, silent = unpack(ARGV)
if not certified() then return {'uncertified'} end
local c = load_claim(id)
if not c then return {'gone'} end
if fence ~= '' and c.fence ~= fence then return {'fenced'} end
if num(silent) > 0 and NOW - num(redis.call('ZSCORE', K.beats, id)) < num(silent) then
  return {'alive'}
end
if c.state == 'open' then
  touch(c)
  redis.call('HSET', K.claim(id), 'state', 'evicting', 'evicted_ms', NOW_TEXT, 'cause', cause,
      'by', by, 'heir', '')
  redis.call('ZREM', K.open, id)
  redis.call('ZADD', K.heirless, NOW_TEXT, id)
  c.state = 'evicting'
  count('evicted:' .. cause)
  audit('evict', id, by, cause)
  wake(c.slot)
end
-- A launching claim's owner must stay able to say what became of its POST.
if raise == '1' and c.state == 'evicting' then
  redis.call('HSET', K.claim(id), 'fence', int(L.epoch) .. '.' .. int(next_sequence()))
  save_ledger()
end
return {c.state, c.order_id or ''}
