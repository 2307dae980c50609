--[[ Where a claim's money comes from: free capacity first, then evictions already under way, then
new victims. Shared by `acquire` and `topup`, so that the two cannot drift. ]]
local NONE = -2^62 -- below anything a ledger can hold

-- What is short per pool for a thief that still lacks `total` and `crypto` micro-dollars. A
-- negative room is a deficit that a steal must cover as well (PROTOCOL, "Account snapshot"); one that
-- lacks neither has its money, and only the broker's own figures can be short.
local function shortfall(thief, left, total, crypto)
  local weight = thief.weight
  local lacks = total > 0 or crypto > 0
  return {
    total = lacks and total - left.total or NONE,
    crypto = lacks and weight.crypto > 0 and crypto - left.crypto or NONE,
    margin = weight.margin * thief.need - num(thief.draw_margin) - left.margin,
    cash = weight.cash > 0 and thief.need * weight.cash - num(thief.draw_cash) - left.cash or NONE,
  }
end

local function gap_text(gap)
  local parts = {}
  for _, pool in ipairs(POOLS) do
    if gap[pool] > 0 then parts[#parts + 1] = pool .. ' ' .. words(gap[pool] / 1000000) end
  end
  return #parts > 0 and 'short ' .. table.concat(parts, ', ') or 'nothing short'
end

local heirless

local function start_funding()
  heirless = nil
end

-- The evicting claims that nobody waits for, oldest first, as candidates. One that does not end for
-- long (a stock's cancel over night) is not counted on: every thief would wait for it in vain.
local function heirless_claims()
  if not heirless then
    heirless = {}
    local since = NOW - 2 * seconds(POLICY.reserve_seconds)
    for _, id in ipairs(redis.call('ZRANGE', K.heirless, 0, 1023)) do
      local c = candidate(id, 0)
      if num(c.evicted_ms) >= since then heirless[#heirless + 1] = c end
    end
  end
  return heirless
end

-- Heirless evicting claims that help, oldest first, until the gap is covered; reduces `gap`.
local function inheritance(gap)
  local taken = {}
  for _, c in ipairs(heirless_claims()) do
    if not short_pools(gap) then break end
    if helps(c, gap) then
      taken[#taken + 1] = c
      for _, pool in ipairs(POOLS) do gap[pool] = gap[pool] - c.remainder * c.weight[pool] end
    end
  end
  return taken
end

-- What evictions without an heir will bring on top of `left`: a better waiter may count on it.
local function with_heirless(left)
  for _, c in ipairs(heirless_claims()) do
    for _, pool in ipairs(POOLS) do left[pool] = left[pool] + c.remainder * c.weight[pool] end
  end
  return left
end

-- May this thief steal at all? Returns a reason and detail, or nil.
local function may_not_steal(thief, enabled)
  if enabled ~= '1' or POLICY.enabled < 1 then return 'disabled', 'work stealing is off' end
  if NOW < L.no_steal_until then
    return 'no_capacity', 'nothing is stolen until ' .. iso(L.no_steal_until)
        .. ': the ledger lost its memory'
  end
  if thief.forced_now then return nil end
  local d = distance(thief.symbol, thief.side, thief.limit)
  if not d then return 'stale_quote', 'no fresh quote for ' .. thief.symbol end
  if d > POLICY.entry_tolerance_pct then
    return 'not_close_enough', string.format('%.3f%% from its limit, stealing needs %.3f%%',
        d * 100, POLICY.entry_tolerance_pct * 100)
  end
  return nil
end

-- A plan: {inherits, victims, sum, text}; or nil, reason, detail, met. Writes nothing.
local function plan_funding(thief, total, crypto, spent, enabled)
  local gap = shortfall(thief, room(), total, crypto)
  local plan = {inherits = {}, victims = {}, sum = spent, text = gap_text(gap)}
  if not short_pools(gap) then return plan end
  plan.inherits = inheritance(gap)
  if not short_pools(gap) then return plan end
  plan.stealing = true
  local reason, detail = may_not_steal(thief, enabled)
  if reason then return nil, reason, plan.text .. '; ' .. detail, {}, true end
  local victims, sum, why, met = choose_victims(thief, gap, spent)
  if not victims then return nil, sum, plan.text .. '; ' .. why, met, true end
  plan.victims, plan.sum, plan.met = victims, sum, met
  return plan
end

local PROTECTED = {'near_fill', 'probe', 'force_immediate', 'market_closed', 'stale_quote',
  'cooldown'}

local function count_attempt(met)
  count('work_steal_attempts_total')
  local protected = 0
  for _, name in ipairs(PROTECTED) do protected = protected + ((met or {})[name] or 0) end
  if protected > 0 then count('orders_protected_total', protected) end
end

local function touch_plan(thief, plan)
  if clustered == false then return end
  for _, v in ipairs(plan.victims) do touch_steal_keys(v.symbol, thief.symbol, v.slot) end
  redis.call('EXISTS', K.claim(thief.id), K.slots, K.claims, K.deadlines, K.beats, K.decisions,
      K.waiters, K.waiting, K.counters, K.open, K.heirless, K.wake(thief.slot))
end

-- What this claim adds to the broker's own use of buying power: what it lacked, less what its
-- victims will give back there. A surplus is not credited; the next snapshot shows it.
local function draw_for(thief, plan)
  local margin = thief.weight.margin * thief.need - num(thief.draw_margin)
  local cash = thief.need * thief.weight.cash - num(thief.draw_cash)
  for _, list in ipairs({plan.inherits, plan.victims}) do
    for _, v in ipairs(list) do
      margin, cash = margin - v.remainder * v.weight.margin, cash - v.remainder * v.weight.cash
    end
  end
  thief.draw_margin, thief.draw_cash = math.max(margin, 0), math.max(cash, 0)
  draw_power(thief.draw_margin, thief.draw_cash)
end

-- Take what is free towards the claim's lack, point inherited and new victims at it, record the
-- steal. `thief` has fund and fund_crypto; both are raised here. Returns steal id or ''.
local function carry_out(thief, plan)
  local left = room()
  local total = math.min(thief.need - thief.fund, math.max(left.total, 0))
  local crypto = math.min(thief.need * thief.weight.crypto - thief.fund_crypto,
      math.max(left.crypto, 0))
  charge(total, crypto)
  draw_for(thief, plan)
  thief.fund, thief.fund_crypto = thief.fund + total, thief.fund_crypto + crypto
  for _, c in ipairs(plan.inherits) do
    redis.call('HSET', K.claim(c.id), 'heir', thief.id, 'inherited', '1')
    redis.call('ZREM', K.heirless, c.id)
  end
  thief.pending = #plan.inherits + #plan.victims
  if #plan.victims == 0 then return '' end
  evict_for(thief, plan.victims)
  local steal_id = thief.id .. ':' .. int(next_sequence())
  local fights, done = 0, {}
  for _, v in ipairs(plan.victims) do
    if not done[v.symbol] then
      done[v.symbol] = true
      if record_pair(v.symbol, thief.symbol, v.pnl, thief.pnl) then fights = fights + 1 end
    end
  end
  record_stream(steal_id, thief, plan.victims, plan.text, fights)
  return steal_id
end

local function append_victims(thief, plan)
  local ids = {}
  for _, c in ipairs(plan.inherits) do ids[#ids + 1] = c.id end
  for _, v in ipairs(plan.victims) do ids[#ids + 1] = v.id end
  local text = table.concat(ids, ' ')
  if (thief.victims or '') ~= '' and text ~= '' then return thief.victims .. ' ' .. text end
  return text ~= '' and text or thief.victims or ''
end

-- The answer of acquire and topup. Victims are quadruples: id, symbol, order id, PnL.
local function funded_reply(outcome, thief, inherits, steal_id, victims)
  local reply = {outcome, thief.id, thief.fence, int(thief.deadline_ms), int(thief.fund),
    int(thief.fund_crypto), tostring(thief.pnl), int(inherits), steal_id}
  for _, v in ipairs(victims) do
    reply[#reply + 1] = v.id
    reply[#reply + 1] = v.symbol
    reply[#reply + 1] = v.order_id
    reply[#reply + 1] = tostring(v.pnl)
  end
  return reply
end

-- The victims of a reserved claim whose orders are not known to be over, as funded_reply wants;
-- inherited ones too unless `own` is asked for.
local function pending_victims(thief, own)
  local victims = {}
  for id in string.gmatch(thief.victims or '', '%S+') do
    local v = redis.call('HMGET', K.claim(id), 'state', 'heir', 'symbol', 'order_id', 'pnl',
        'inherited')
    if v[1] == 'evicting' and v[2] == thief.id and not (own and v[6]) then
      victims[#victims + 1] = {id = id, symbol = v[3], order_id = v[4] or '', pnl = v[5]}
    end
  end
  return victims
end
