--[[ standing: all a watcher needs to know before it asks for capacity, in one round trip.

Guarantee: it only reads, but for the task of a given ticket, which the first call begins.

KEYS 1 account prefix   ARGV symbol, strategy, slot, ticket or '', life ms of the task
Reply {rank or '', crypto rank or '', pnl or '', bid or '', ask or '', session open (0|1), session
       known (0|1), halted text, claim in the slot or '', cooldown ms, certified (0|1), what the
       account has in the symbol (see placed) or '', then with a ticket what `ticket` answers} ]]
--@include prelude
--@include task
--@include identity
--@include ledger
--@include policy
--@include claims
--@include protection
local symbol, strategy, slot, ticket, life = unpack(ARGV)
local member = symbol .. '|' .. strategy
local rank = redis.call('ZREVRANK', K.forecasts, member)
local crypto_rank = redis.call('ZREVRANK', K.forecasts_crypto, member)
local q = fresh_quote(symbol)
local reply = {rank and int(rank) or '', crypto_rank and int(crypto_rank) or '',
  redis.call('ZSCORE', K.forecasts, member) or '',
  q and tostring(q.bid) or '', q and tostring(q.ask) or '', session_open() and '1' or '0',
  L.session ~= '' and '1' or '0', L.halted, redis.call('HGET', K.slots, slot) or '',
  int(math.max(redis.call('PTTL', K.cooldown(symbol)), 0)), certified() and '1' or '0',
  redis.call('HGET', K.placed, symbol) or ''}
if ticket ~= '' then
  for _, field in ipairs(remembered(ticket, num(life), '0', 0, {}, 1)) do
    reply[#reply + 1] = field
  end
end
return reply
