--[[ topup: bring a reserved claim to full funding, by its owner, once its victims are terminal.

Guarantee: while a victim of its own is pending nothing is taken. Free capacity first, then another
steal; the justification is cumulative over all victims canceled for this claim. Safe to repeat: a
second call finds the victims of the first pending.

KEYS 1 account prefix   ARGV claim, fence, enabled (0|1)
Reply {'funded'|'pending'|'steal', ...} as acquire; {'denied', reason, detail, '0'};
      {'gone'|'fenced'|'late'|'wrong_state:STATE'|'uncertified'} ]]
--@include prelude
--@include identity
--@include ledger
--@include policy
--@include wake
--@include claims
--@include protection
--@include victims
--@include record
--@include funding
local id, fence, enabled = unpack(ARGV)
if not certified() then return {'uncertified'} end
local c = load_claim(id)
if not c then return {'gone'} end
if c.fence ~= fence then return {'fenced'} end
if c.state ~= 'reserved' then return {'wrong_state:' .. c.state} end
if NOW > c.deadline_ms then return {'late'} end
local waiting = pending_victims(c)
if #waiting > 0 then return funded_reply('pending', c, 0, c.steal_id, waiting) end
if funded(c) then return funded_reply('funded', c, 0, c.steal_id, {}) end
if outrun(c) then return {'denied', 'duplicate', 'another order of its slot was found live', '0'} end
if L.halted ~= '' then return {'denied', 'halted', L.halted, '0'} end
if not account_fresh() then return {'denied', 'stale_account', 'nothing new by old figures', '0'} end

local total, crypto = c.need - c.fund, c.need * c.weight.crypto - c.fund_crypto
c.pnl = tonumber(redis.call('ZSCORE', K.forecasts, c.symbol .. '|' .. c.strategy) or c.pnl)
c.forced_now = is_forced(c.symbol, c.strategy, c.crypto, c.forced)
local plan, reason, detail, met, tried = plan_funding(c, total, crypto, c.spent, enabled)
if not plan then
  if tried then count_attempt(met) end
  return {'denied', reason, detail, '0'}
end
touch_plan(c, plan)
local drawn_margin, drawn_cash = num(c.draw_margin), num(c.draw_cash)
local steal_id = carry_out(c, plan)
local more = #plan.inherits + #plan.victims
redis.call('HSET', K.claim(id), 'fund', int(c.fund), 'fund_crypto', int(c.fund_crypto),
    'draw_margin', int(drawn_margin + c.draw_margin), 'draw_cash', int(drawn_cash + c.draw_cash),
    'pending', int(more), 'victims', append_victims(c, plan), 'spent', tostring(plan.sum),
    'steal_id', steal_id ~= '' and steal_id or c.steal_id or '')
save_ledger()
if plan.stealing then count_attempt(plan.met) end
return funded_reply(more > 0 and 'steal' or 'funded', c, #plan.inherits,
    steal_id ~= '' and steal_id or c.steal_id, plan.victims)
