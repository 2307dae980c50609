--[[ Choosing victims (PROTOCOL, "Choosing victims"): worst live PnL first, oldest first on ties,
until every short pool is covered; then the best-PnL ones not needed after all are let go.

The four pools are spelt out: these lines run in every decision, and a loop over their names costs
several times as much. ]]
local PAGE, LARGEST_PAGE = 2, 64 -- most steals have one victim, and it is the very worst

local function short_pools(gap)
  return gap.total > 0 or gap.crypto > 0 or gap.margin > 0 or gap.cash > 0
end

local function helps(c, gap)
  local weight = c.weight
  return c.remainder > 0 and (gap.total > 0 and weight.total > 0 or gap.crypto > 0 and weight.crypto > 0
      or gap.margin > 0 and weight.margin > 0 or gap.cash > 0 and weight.cash > 0)
end

-- What the candidate's end will bring, off the gap; `times` -1 puts it back.
local function cover(gap, c, times)
  local weight, amount = c.weight, c.remainder * (times or 1)
  gap.total, gap.crypto = gap.total - amount * weight.total, gap.crypto - amount * weight.crypto
  gap.margin, gap.cash = gap.margin - amount * weight.margin, gap.cash - amount * weight.cash
end

-- True when the gap stays covered without this candidate.
local function spare(c, gap)
  local weight, amount = c.weight, c.remainder
  return not (weight.total > 0 and gap.total + amount * weight.total > 0
      or weight.crypto > 0 and gap.crypto + amount * weight.crypto > 0
      or weight.margin > 0 and gap.margin + amount * weight.margin > 0
      or weight.cash > 0 and gap.cash + amount * weight.cash > 0)
end

-- The best-PnL victims go first if what remains still covers the gap.
local function reprieve(chosen, gap)
  for i = #chosen, 1, -1 do
    if spare(chosen[i], gap) then
      cover(gap, chosen[i], -1)
      table.remove(chosen, i)
    end
  end
end

-- Why nothing could be stolen: the most telling of what was met on the way.
local function refusal(met)
  if met.fight then return 'fight' end
  if met.cooldown or met.steal_back then return 'cooldown' end
  if met.pnl_not_better then return 'pnl_not_better' end
  if met.near_fill or met.probe or met.force_immediate or met.market_closed or met.stale_quote then
    return 'all_protected'
  end
  return 'no_capacity'
end

local MET = {'pnl_not_better', 'near_fill', 'probe', 'force_immediate', 'cooldown', 'steal_back',
  'fight', 'market_closed', 'stale_quote', 'own_symbol', 'other_pool'}

local function met_text(met)
  local text
  for i = 1, #MET do
    local times = met[MET[i]]
    if times then text = (text and text .. ', ' or '') .. times .. ' ' .. MET[i] end
  end
  return text or 'no open order could be stolen'
end

-- Why this thief cannot take from the candidate, or nil.
local function objection(thief, c, gap)
  if c.symbol == thief.symbol then return 'own_symbol' end
  if not helps(c, gap) then return 'other_pool' end
  return protection(c) or barred(c)
end

-- `gap` per pool is what is short (it is used up). Returns victims, or nil, reason, detail.
-- `spent` is the positive PnL already canceled for this thief: justification is cumulative.
local function choose_victims(thief, gap, spent)
  local chosen, met, examined, at, size, done = {}, {}, 0, 0, PAGE, false
  while not done do
    local page = redis.call('ZRANGE', K.open, at, at + size - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      if not short_pools(gap) then done = true break end
      examined = examined + 1
      if examined > POLICY.max_candidates then
        return nil, 'too_many_candidates', 'examined ' .. int(examined - 1) .. ' open orders', met
      end
      local reason
      if not beats(thief.pnl, tonumber(page[i + 1])) then
        reason, done = 'pnl_not_better', true -- and so are all that follow
      else
        local c = candidate(page[i], page[i + 1], thief.symbol)
        reason = objection(thief, c, gap)
        if not reason then
          chosen[#chosen + 1] = c
          cover(gap, c)
        end
      end
      if reason then met[reason] = (met[reason] or 0) + 1 end
      if done then break end
    end
    if #page < size * 2 then done = true end
    at, size = at + size, math.min(size * 4, LARGEST_PAGE)
  end
  if short_pools(gap) then return nil, refusal(met), met_text(met), met end
  reprieve(chosen, gap)
  local sum = spent
  for i = 1, #chosen do sum = sum + math.max(chosen[i].pnl, 0) end
  if sum > 0 and not beats(thief.pnl, sum) then
    return nil, 'pnl_not_better', 'the victims together are worth ' .. sum, met
  end
  return chosen, sum, nil, met
end
