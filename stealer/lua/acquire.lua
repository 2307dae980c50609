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
local request, slot, symbol, side, strategy, crypto, qty, limit, need, pnl, mode, forced, owner,
    account, enabled, dry, ticket = unpack(ARGV)

-- Refusals for want of capacity make a waiter; a better one that fits is served before this one.
local WAITS = {no_capacity = true, not_close_enough = true, pnl_not_better = true,
  all_protected = true, cooldown = true, fight = true, yield = true, disabled = true,
  too_many_candidates = true}

local function denied(reason, detail, retry_ms)
  count('denied:' .. reason)
  redis.call('HSET', K.decisions, slot,
      int(NOW) .. '/' .. request .. ' denied ' .. reason .. ' ' .. detail)
  -- A slot with a pause of its own (retry_ms) may not enter: nobody should have to yield to it.
  if WAITS[reason] and not retry_ms and dry ~= '1' then
    redis.call('ZADD', K.waiters, pnl, slot)
    redis.call('HSET', K.waiting, slot, need .. ' ' .. crypto .. ' '
        .. int(NOW + seconds(POLICY.waiter_seconds)))
  end
  return {'denied', reason, detail, int(retry_ms or 0)}
end

-- The answer to a request that was answered before, nil for a new one. A copy may arrive seconds late
-- (a stopped server, a proxy), when nobody waits for it any more: granted, it would steal for nobody.
-- The last request of the slot is remembered; ids 'random.asker.number' tell what came before it.
local function answered()
  local last, outcome, reason, detail = string.match(redis.call('HGET', K.decisions, slot) or '',
      '^%d+/(%S+) (%S+) (%S+) ?(.*)$')
  if last == request and outcome == 'denied' then return {'denied', reason, detail, '0'} end
  local asker, number = string.match(request, '%.(%w+)%.(%d+)$')
  local before, latest = string.match(last or '', '%.(%w+)%.(%d+)$')
  if last == request or (asker and asker == before and num(number) < num(latest)) then
    return {'denied', 'duplicate', 'a late copy of a request that was answered before', '0'}
  end
  return nil
end

if not certified() then
  return {'denied', 'uncertified', 'the keeper has not certified this Redis server', '0'}
end

local holder = redis.call('HGET', K.slots, slot)
if holder then
  local c = load_claim(holder)
  if c and c.request == request and c.state == 'reserved' then
    -- Evictions it counted on are told even when they have ended: its owner must top up first.
    local victims = pending_victims(c, true)
    local _, taken = string.gsub(c.victims or '', '%S+', '')
    return funded_reply(c.outcome, c, taken - #victims, c.steal_id, victims)
  end
  return denied('duplicate', 'claim ' .. holder .. ' (' .. (c and c.state or '?')
      .. ') holds this symbol, side and strategy')
end
local before = answered()
if before then return before end
if L.halted ~= '' then return denied('halted', L.halted) end
if not account_fresh() then
  return denied('stale_account', L.account_ms == 0 and 'no account snapshot was ever published'
      or 'the account snapshot is ' .. words((NOW - L.account_ms) / 1000) .. ' s old')
end
-- No victim may die for an order that the broker's limit will refuse.
local short = budget_wait(load_budget('trading'), 'submit')
if short > 0 then
  return denied('no_budget', 'the account\'s API budget has no order left for '
      .. words(short / 1000) .. ' s', short)
end
local pause = redis.call('PTTL', K.refused(slot))
if pause > 0 then
  return denied('cooldown', 'the broker refused its order after a steal; waits '
      .. words(pause / 1000) .. ' s', pause)
end
pnl = redis.call('ZSCORE', K.forecasts, symbol .. '|' .. strategy) or pnl

local thief = {symbol = symbol, side = side, strategy = strategy, limit = limit, slot = slot,
  pnl = tonumber(pnl), need = num(need), weight = WEIGHT[crypto], fund = 0, fund_crypto = 0,
  forced_now = is_forced(symbol, strategy, crypto, forced)}
if not thief.forced_now and not fresh_quote(symbol) then
  return denied('stale_quote', 'no fresh quote for ' .. symbol)
end

local rival = best_waiter(with_heirless(room()), pnl, slot)
if rival then
  if dry ~= '1' then wake(rival) end
  return denied('yield', rival .. ' is worth more and fits what is free')
end
local plan, reason, detail, met, tried = plan_funding(thief, thief.need,
    thief.need * thief.weight.crypto, 0, enabled)
if not plan then
  if tried and dry ~= '1' then count_attempt(met) end
  return denied(reason, detail)
end
if dry == '1' then
  local names = {}
  for i, v in ipairs(plan.victims) do names[i] = v.symbol end
  local would = #names > 0 and 'would steal from ' .. table.concat(names, ' ') or 'would be granted'
  redis.call('XADD', K.dry_steals, 'MAXLEN', '~', '10000', '*', 'at', iso(NOW), 'thief', symbol,
      'thief_pnl', pnl, 'victims', table.concat(names, ' '), 'shortfall', plan.text)
  count(#names > 0 and 'dry_run_steals_total' or 'dry_run_grants_total')
  return denied('dry_run', would)
end

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
    'state', 'reserved', 'created_ms', int(NOW), 'deadline_ms', int(thief.deadline_ms),
    'fund', int(thief.fund), 'fund_crypto', int(thief.fund_crypto),
    'draw_margin', int(thief.draw_margin), 'draw_cash', int(thief.draw_cash), 'pending', int(thief.pending),
    'victims', append_victims(thief, plan), 'spent', tostring(plan.sum), 'outcome', outcome,
    'steal_id', steal_id, 'ticket', ticket or '')
redis.call('HSET', K.slots, slot, thief.id)
redis.call('ZADD', K.claims, int(NOW), thief.id)
redis.call('ZADD', K.deadlines, int(thief.deadline_ms), thief.id)
redis.call('ZADD', K.beats, int(NOW), thief.id)
if redis.call('ZREM', K.waiters, slot) == 1 then redis.call('HDEL', K.waiting, slot) end
save_ledger()
if plan.stealing then count_attempt(plan.met) end
count('granted_total')
if #plan.victims == 0 then wake_best() end -- more may be free than this one took
redis.call('HSET', K.decisions, slot,
    int(NOW) .. '/' .. request .. ' ' .. outcome .. ' - ' .. plan.text)
return funded_reply(outcome, thief, #plan.inherits, steal_id, plan.victims)
