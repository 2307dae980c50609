--[[ standing: all a watcher needs to decide its tier and distance, in one round trip. Read only.

KEYS 1 account prefix   ARGV symbol, strategy, slot
Reply {rank or '', crypto rank or '', pnl or '', bid or '', ask or '', session open (0|1), session
       known (0|1), halted text, claim in the slot or '', cooldown ms, certified (0|1)} ]]
--@include prelude
--@include identity
--@include ledger
--@include policy
--@include claims
--@include protection
local symbol, strategy, slot = unpack(ARGV)
local member = symbol .. '|' .. strategy
local rank = redis.call('ZREVRANK', K.forecasts, member)
local crypto_rank = redis.call('ZREVRANK', K.forecasts_crypto, member)
local q = fresh_quote(symbol)
return {rank and int(rank) or '', crypto_rank and int(crypto_rank) or '',
  redis.call('ZSCORE', K.forecasts, member) or '',
  q and tostring(q.bid) or '', q and tostring(q.ask) or '', session_open() and '1' or '0',
  L.session ~= '' and '1' or '0', L.halted, redis.call('HGET', K.slots, slot) or '',
  int(math.max(redis.call('PTTL', K.cooldown(symbol)), 0)), certified() and '1' or '0'}
