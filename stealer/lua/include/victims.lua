--[[ Choosing victims (PROTOCOL, "Choosing victims"): worst live PnL first, oldest first on ties,
until every short pool is covered; then the best-PnL ones not needed after all are let go. ]]
local PAGE, LARGEST_PAGE = 2, 64 -- most steals have one victim, and it is the very worst

local function ordered(a, b)
  if a < b then return a, b end
  return b, a
end

-- Why this thief may not take from this victim, although others may: 'fight', 'steal_back', nil.
local function barred(thief, victim)
  local a, b = ordered(thief, victim)
  local fight, back = K.fight(a, b), K.barred(thief, victim)
  if redis.call('EXISTS', fight, back) == 0 then return nil end
  return redis.call('EXISTS', fight) == 1 and 'fight' or 'steal_back'
end

local function short_pools(gap)
  local any = false
  for _, pool in ipairs(POOLS) do any = any or gap[pool] > 0 end
  return any
end

local function helps(c, gap)
  if c.remainder <= 0 then return false end
  for _, pool in ipairs(POOLS) do
    if gap[pool] > 0 and c.weight[pool] > 0 then return true end
  end
  return false
end

-- The best-PnL victims go first if what remains still covers the gap.
local function reprieve(chosen, gap)
  for i = #chosen, 1, -1 do
    local spare = true
    for _, pool in ipairs(POOLS) do
      if gap[pool] + chosen[i].remainder * chosen[i].weight[pool] > 0
          and chosen[i].weight[pool] > 0 then
        spare = false
      end
    end
    if spare then
      for _, pool in ipairs(POOLS) do
        gap[pool] = gap[pool] + chosen[i].remainder * chosen[i].weight[pool]
      end
      table.remove(chosen, i)
    end
  end
end

-- Why nothing could be stolen: the most telling of what was met on the way.
local function refusal(met)
  if met.fight then return 'fight' end
  if met.cooldown or met.steal_back then return 'cooldown' end
  if met.pnl_not_better then return 'pnl_not_better' end
  for _, name in ipairs({'near_fill', 'probe', 'force_immediate', 'market_closed', 'stale_quote'}) do
    if met[name] then return 'all_protected' end
  end
  return 'no_capacity'
end

local function met_text(met)
  local parts = {}
  for _, name in ipairs({'pnl_not_better', 'near_fill', 'probe', 'force_immediate', 'cooldown',
      'steal_back', 'fight', 'market_closed', 'stale_quote', 'own_symbol', 'other_pool'}) do
    if met[name] then parts[#parts + 1] = met[name] .. ' ' .. name end
  end
  return #parts > 0 and table.concat(parts, ', ') or 'no open order could be stolen'
end

-- `gap` per pool is what is short (it is used up). Returns victims, or nil, reason, detail.
-- `spent` is the positive PnL already canceled for this thief: justification is cumulative.
local function choose_victims(thief, gap, spent)
  local chosen, met, examined, at, size, done = {}, {}, 0, 0, PAGE, false
  local function meet(name) met[name] = (met[name] or 0) + 1 end
  while not done do
    local page = redis.call('ZRANGE', K.open, at, at + size - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      if not short_pools(gap) then done = true break end
      examined = examined + 1
      if examined > POLICY.max_candidates then
        return nil, 'too_many_candidates', 'examined ' .. int(examined - 1) .. ' open orders', met
      end
      if not beats(thief.pnl, tonumber(page[i + 1])) then
        meet('pnl_not_better') done = true break
      end
      local c = candidate(page[i], page[i + 1])
      if c.symbol == thief.symbol then
        meet('own_symbol')
      elseif not helps(c, gap) then
        meet('other_pool')
      else
        local reason = protection(c) or barred(thief.symbol, c.symbol)
        if reason then
          meet(reason)
        else
          chosen[#chosen + 1] = c
          for _, pool in ipairs(POOLS) do
            gap[pool] = gap[pool] - c.remainder * c.weight[pool]
          end
        end
      end
    end
    if #page < size * 2 then done = true end
    at, size = at + size, math.min(size * 4, LARGEST_PAGE)
  end
  if short_pools(gap) then return nil, refusal(met), met_text(met), met end
  reprieve(chosen, gap)
  local sum = spent
  for _, c in ipairs(chosen) do sum = sum + math.max(c.pnl, 0) end
  if sum > 0 and not beats(thief.pnl, sum) then
    return nil, 'pnl_not_better', 'the victims together are worth ' .. sum, met
  end
  return chosen, sum, nil, met
end
