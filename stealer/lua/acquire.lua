--[[ acquire: reserve capacity for an intent, stealing it if that is justified.

Guarantee: everything is validated before the first write. A refusal changes no charge; a grant
charges exactly `fund`; a steal additionally makes its victims evicting with this claim as their
heir, and records cooldowns, pair, stream entry and counters in the same step. A repeated call
with the same request id returns the same claim, or the same refusal; a copy that arrives when its
claim has ended is granted nothing. It permits no POST: only `launch` does.

KEYS 1 account prefix
ARGV request, slot, symbol, side, strategy, crypto (0|1), qty, limit, need (micro-dollars), pnl,
     mode, forced (0|1), owner, account, enabled (0|1), dry run (0|1), ticket or ''
Reply {'granted'|'steal', id, fence, deadline_ms, fund, fund_crypto, pnl, inherits, steal id,
       then id, symbol, order id, pnl for each victim}
      {'denied', reason, detail, retry after ms} ]]
--@include prelude
--@include budget
--@include identity
--@include ledger
--@include policy
--@include wake
--@include claims
--@include protection
--@include victims
--@include record
--@include funding
--@include refusal
local request, slot, symbol, side, strategy, crypto, qty, limit, need, pnl, mode, forced, owner,
    account, enabled, dry, ticket = unpack(ARGV)

if not certified() then
  return {'denied', 'uncertified', 'the keeper has not certified this Redis server', '0'}
end
local thief = {request = request, slot = slot, symbol = symbol, side = side, strategy = strategy,
  crypto = crypto, limit = limit, need = num(need), need_text = need, pnl_text = pnl, dry = dry == '1',
  weight = WEIGHT[crypto], fund = 0, fund_crypto = 0, forced_now = false, draw_margin = 0,
  draw_cash = 0, pending = 0, pnl = 0, id = '', fence = '', deadline_ms = 0}

local holder = redis.call('HGET', K.slots, slot)
if holder then
  local c = load_claim(holder)
  if c and c.request == request and c.state == 'reserved' then
    -- Evictions it counted on are told even when they have ended: its owner must top up first.
    local victims = pending_victims(c, true)
    local _, taken = string.gsub(c.victims or '', '%S+', '')
    return funded_reply(c.outcome, c, taken - #victims, c.steal_id, victims)
  end
  return denied(thief, 'duplicate', 'claim ' .. holder .. ' (' .. (c and c.state or '?')
      .. ') holds this symbol, side and strategy')
end
local answer = answered(thief) or not_now(thief)
if answer then return answer end
pnl = redis.call('ZSCORE', K.forecasts, symbol .. '|' .. strategy) or pnl
thief.pnl, thief.pnl_text = tonumber(pnl), pnl
thief.forced_now = is_forced(symbol, strategy, crypto, forced)
if not thief.forced_now and not fresh_quote(symbol) then
  return denied(thief, 'stale_quote', 'no fresh quote for ' .. symbol)
end

local rival = best_waiter(with_heirless, pnl, slot)
if rival then
  if not thief.dry then wake(rival) end
  return denied(thief, 'yield', rival .. ' is worth more and fits what is free')
end
local plan, reason, detail, met, tried = plan_funding(thief, thief.need,
    thief.need * thief.weight.crypto, 0, enabled)
if not plan then
  if tried and not thief.dry then count_attempt(met) end
  return denied(thief, reason, detail)
end
if thief.dry then return denied(thief, 'dry_run', rehearsed(thief, plan)) end

-- From here on it only writes. The id sorts by time, and a random part keeps it new for ever.
local sequence = next_sequence()
local worth = string.format('%s%.2f', thief.pnl < 0 and 'n' or 'p', math.abs(thief.pnl))
thief.id = string.format('mx_%s_%011x%06x%s_%s%s_%s_%s', account, NOW, sequence % 16777216,
    string.sub(request, 1, 6), mode == 'probe' and 'p' or 'n', forced == '1' and 'f' or 'n', worth,
    strategy)
thief.fence = int(L.epoch) .. '.' .. int(sequence)
thief.deadline_ms = NOW + seconds(POLICY.reserve_seconds)
touch_plan(thief, plan)

local steal_id = carry_out(thief, plan)
local outcome = #plan.victims > 0 and 'steal' or 'granted'
redis.call('HSET', K.claim(thief.id), 'slot', slot, 'symbol', symbol, 'side', side,
    'strategy', strategy, 'crypto', crypto, 'qty', qty, 'limit', limit, 'need', need, 'pnl', pnl,
    'mode', mode, 'forced', forced, 'owner', owner, 'fence', thief.fence, 'request', request,
    'state', 'reserved', 'created_ms', NOW_TEXT, 'deadline_ms', int(thief.deadline_ms),
    'fund', int(thief.fund), 'draw_margin', int(thief.draw_margin), 'outcome', outcome,
    unpack(uncommon_fields(thief, plan, steal_id, ticket)))
redis.call('HSET', K.slots, slot, thief.id)
redis.call('ZADD', K.claims, NOW_TEXT, thief.id)
redis.call('ZADD', K.deadlines, int(thief.deadline_ms), thief.id)
if redis.call('ZREM', K.waiters, slot) == 1 then redis.call('HDEL', K.waiting, slot) end
save_ledger()
if plan.stealing then count_attempt(plan.met) end
count('granted_total')
if #plan.victims == 0 then wake_best() end -- more may be free than this one took
decided(thief, outcome, '-', plan.text)
return funded_reply(outcome, thief, #plan.inherits, steal_id, plan.victims)
