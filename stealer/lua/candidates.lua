--[[ candidates: the open orders in the order a thief meets them, each with what protects it.

Read only. The same protections decide a steal, so what is shown is what would happen.

KEYS 1 account prefix   ARGV from, to (rank, inclusive), thief symbol ('' for anybody)
Reply a list of {id, symbol, side, strategy, pnl, distance or '', protection or '', order id, need,
      filled, qty, limit, mode, owner, created ms} ]]
--@include prelude
--@include ledger
--@include policy
--@include claims
--@include protection
--@include victims
local page = redis.call('ZRANGE', K.open, ARGV[1], ARGV[2], 'WITHSCORES')
local rows = {}
for i = 1, #page, 2 do
  local c = candidate(page[i], page[i + 1], ARGV[3] ~= '' and ARGV[3] or nil)
  local reason = protection(c)
  if not reason and c.thief then reason = c.symbol == c.thief and 'own_symbol' or barred(c) end
  local shown = redis.call('HMGET', K.claim(c.id), 'qty', 'owner', 'created_ms')
  local d = distance(c.symbol, c.side, c.limit)
  rows[#rows + 1] = {c.id, c.symbol, c.side, c.strategy, page[i + 1],
    d and string.format('%.8f', d) or '', reason or '', c.order_id, c.need, c.filled,
    shown[1] or '', c.limit, c.mode, shown[2] or '', shown[3] or ''}
end
return rows
