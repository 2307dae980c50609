--[[ confirm: the order was seen live, by reply, look-up, stream or list. By owner or keeper.

Guarantee: launching becomes open and enters the ranking by its live PnL; later sightings only
raise the filled amount, and wake the exit of the claim's ticket. Never moves backwards and never
frees anything.

KEYS 1 account prefix
ARGV claim, order id, filled qty, filled micro-dollars at the worst price
Reply {STATE}; {'gone'|'wrong_state:reserved'|'uncertified'} ]]
--@include prelude
--@include identity
--@include ledger
--@include wake
--@include claims
local id, order_id, filled_qty, filled = unpack(ARGV)
if not certified() then return {'uncertified'} end
local c = load_claim(id)
if not c then return {'gone'} end
if c.state == 'reserved' then return {'wrong_state:reserved'} end
if c.state == 'closed' then return {'closed'} end
touch(c)
if c.state == 'launching' then
  local pnl = redis.call('ZSCORE', K.forecasts, c.symbol .. '|' .. c.strategy) or c.pnl
  redis.call('HSET', K.claim(id), 'state', 'open', 'order_id', order_id, 'opened_ms', NOW_TEXT,
      'deadline_ms', '0')
  redis.call('ZREM', K.deadlines, id)
  redis.call('ZADD', K.open, pnl, id)
  count('orders_opened_total')
  c.state = 'open'
elseif (c.order_id or '') == '' then
  redis.call('HSET', K.claim(id), 'order_id', order_id)
end
filled = math.min(num(filled), c.need)
if filled > c.filled then
  spend_cash(c, filled)
  save_ledger()
  redis.call('HSET', K.claim(id), 'filled', int(filled), 'filled_qty', filled_qty,
      'filled_ms', NOW_TEXT)
  redis.call('ZADD', K.unabsorbed, NOW_TEXT, id)
  if (c.ticket or '') ~= '' then wake('exit|' .. c.ticket) end
end
return {c.state}
