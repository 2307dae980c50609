--[[ record_steal: record a steal between two symbols that was carried out elsewhere.

Guarantee: cooldown, pair, fight, stream entry and counters as `acquire` records them; once per
steal id, however often it is called.

KEYS 1 account prefix   ARGV steal id, victim symbol, thief symbol, victim pnl, thief pnl
Reply {'recorded', fight (0|1)}; {'known'}; {'uncertified'} ]]
--@include prelude
--@include identity
--@include ledger
--@include policy
--@include claims
--@include protection
--@include victims
--@include record
local steal_id, victim, thief, victim_pnl, thief_pnl = unpack(ARGV)
if not certified() then return {'uncertified'} end
touch_steal_keys(victim, thief)
if redis.call('EXISTS', K.seen(steal_id)) == 1 then return {'known'} end
redis.call('SET', K.seen(steal_id), NOW_TEXT, 'PX', 86400000)
local from = {id = '-', symbol = victim, thief = thief, pnl = num(victim_pnl)}
local to = {id = '-', symbol = thief, pnl = num(thief_pnl)}
local fight = record_pair(remembered_of(from), to)
record_stream(steal_id, to, {from}, 'recorded by hand', fight and 1 or 0)
return {'recorded', fight and '1' or '0'}
