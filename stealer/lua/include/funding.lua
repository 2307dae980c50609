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
  local text
  for i = 1, #POOLS do
    local lack = gap[POOLS[i]]
    if lack > 0 then
      text = (text and text .. ', ' or 'short ') .. POOLS[i] .. ' ' .. words(lack / 1000000)
    end
  end
  return text or 'nothing short'
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
    local ids = redis.call('ZRANGE', K.heirless, 0, 1023)
    for i = 1, #ids do
      local id = ids[i]
      local c = candidate(id, 0)
      if num(c.evicted_ms) >= since then heirless[#heirless + 1] = c end
    end
  end
  return heirless
end

-- Heirless evicting claims that help, oldest first, until the gap is covered; reduces `gap`.
local function inheritance(gap)
  local taken, claims = {}, heirless_claims()
  for i = 1, #claims do
    if not short_pools(gap) then break end
    if helps(claims[i], gap) then
      taken[#taken + 1] = claims[i]
      cover(gap, claims[i])
    end
  end
  return taken
end

-- What is left with what evictions without an heir will bring: a better waiter may count on it.
local function with_heirless()
  local left, claims = room(), heirless_claims()
  for i = 1, #claims do cover(left, claims[i], -1) end
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

-- Records what a dry run would have done; says it.
local function rehearsed(thief, plan)
  local names = {}
  for i = 1, #plan.victims do names[i] = plan.victims[i].symbol end
  local victims = table.concat(names, ' ')
  redis.call('XADD', K.dry_steals, 'MAXLEN', '~', '10000', '*', 'at', iso(NOW), 'thief', thief.symbol,
      'thief_pnl', thief.pnl_text, 'victims', victims, 'shortfall', plan.text)
  count(#names > 0 and 'dry_run_steals_total' or 'dry_run_grants_total')
  return #names > 0 and 'would steal from ' .. victims or 'would be granted'
end

local PROTECTED = {near_fill = true, probe = true, force_immediate = true, market_closed = true,
  stale_quote = true, cooldown = true}

local function count_attempt(met)
  count('work_steal_attempts_total')
  local protected = 0
  for name, times in pairs(met or {}) do
    if PROTECTED[name] then protected = protected + times end
  end
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
  local inherits, victims = plan.inherits, plan.victims
  for i = 1, #inherits + #victims do
    local v = inherits[i] or victims[i - #inherits]
    margin, cash = margin - v.remainder * v.weight.margin, cash - v.remainder * v.weight.cash
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
  for i = 1, #plan.victims do
    local v = plan.victims[i]
    if not done[v.symbol] then
      done[v.symbol] = true
      if record_pair(v, thief) then fights = fights + 1 end
    end
  end
  record_stream(steal_id, thief, plan.victims, plan.text, fights)
  return steal_id
end

local function append_victims(thief, plan)
  local text, inherits, victims = thief.victims or '', plan.inherits, plan.victims
  for i = 1, #inherits + #victims do
    local v = inherits[i] or victims[i - #inherits]
    text = (text ~= '' and text .. ' ' or '') .. v.id
  end
  return text
end

-- The fields of a new claim that few claims need: absent they are zero, or nothing.
local function uncommon_fields(thief, plan, steal_id, ticket)
  local more = {}
  local function add(name, value)
    more[#more + 1] = name
    more[#more + 1] = value
  end
  if ticket and ticket ~= '' then add('ticket', ticket) end
  if thief.weight.crypto > 0 then
    add('fund_crypto', int(thief.fund_crypto))
    add('draw_cash', int(thief.draw_cash))
  end
  if thief.pending > 0 then
    add('pending', int(thief.pending))
    add('victims', append_victims(thief, plan))
    add('spent', tostring(plan.sum))
  end
  if steal_id ~= '' then add('steal_id', steal_id) end
  return more
end

-- The answer of acquire and topup. Victims are quadruples: id, symbol, order id, PnL.
local function funded_reply(outcome, thief, inherits, steal_id, victims)
  local reply = {outcome, thief.id, thief.fence, int(thief.deadline_ms), int(thief.fund),
    int(thief.fund_crypto), tostring(thief.pnl), int(inherits), steal_id or ''}
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
