--[[ Protection: why an open order may not be a victim. One home for the rule.

Each protection looks at one candidate in a frozen context and gives its reason, or nil. They are
tried in this order; the first reason is the one reported. The distance is side-aware: price
through the limit is distance 0 (DESIGN part 2). ]]
local quotes, forced_crypto, own_cooldown

local function start_protection()
  quotes, forced_crypto, own_cooldown = {}, nil, nil
end

local function ordered(a, b)
  if a < b then return a, b end
  return b, a
end

-- bid, ask of a symbol, or nil when unknown or stale.
local function fresh_quote(symbol)
  local q = quotes[symbol]
  if q == nil then
    local bid, ask, at = string.match(redis.call('HGET', K.quotes, symbol) or '',
        '^(%S+) (%S+) (%d+)$')
    bid, ask = tonumber(bid), tonumber(ask)
    q = bid and ask and bid > 0 and ask > 0 and bid + ask < LARGEST
        and math.abs(NOW - num(at)) <= seconds(POLICY.quote_stale_seconds)
        and {bid = bid, ask = ask} or false
    quotes[symbol] = q
  end
  return q
end

-- Distance of the market from a limit as a fraction of the limit; nil without a fresh quote.
-- Rounded to 1e-9, or a market exactly at a tolerance would be beyond it by floating point's error.
local function distance(symbol, side, limit)
  local q = fresh_quote(symbol)
  if not q then return nil end
  limit = num(limit)
  local away = side == 'buy' and q.ask - limit or limit - q.bid
  return math.floor(math.max(away, 0) / limit * 1e9 + 0.5) / 1e9
end

-- Forced now: asked for in so many words, or a top crypto while the stock market is closed.
local function is_forced(symbol, strategy, crypto, flag)
  if flag == '1' then return true end
  if crypto ~= '1' or L.session == '' or session_open() or POLICY.crypto_out_of_hours_force_count < 1 then
    return false
  end
  if not forced_crypto then
    forced_crypto = {}
    for _, member in ipairs(redis.call('ZREVRANGE', K.forecasts_crypto, 0,
        POLICY.crypto_out_of_hours_force_count - 1)) do
      forced_crypto[member] = true
    end
  end
  return forced_crypto[symbol .. '|' .. strategy] == true
end

-- What steals of before have left: the cooldown of the candidate's symbol and, when a thief is known,
-- the fight and the latest steals of the two (`record`). One look for all of it.
local function remembered_of(c)
  if c.cooling ~= nil then return c end
  if not c.thief then
    c.cooling = redis.call('GET', K.cooldown(c.symbol))
    return c
  end
  local a, b = ordered(c.symbol, c.thief)
  local v = redis.call('MGET', K.cooldown(c.symbol), K.fight(a, b), K.recent(a, b))
  c.cooling, c.fighting, c.pair = v[1], v[2], v[3]
  return c
end

-- Why this thief may not take from this candidate, although others may: 'fight', 'steal_back', nil. Who
-- was stolen from may not steal back while its own cooldown names the thief.
local function barred(c)
  if remembered_of(c).fighting then return 'fight' end
  if own_cooldown == nil then own_cooldown = redis.call('GET', K.cooldown(c.thief)) end
  return own_cooldown and string.find(own_cooldown, 'stolen by ' .. c.symbol .. ' (', 1, true)
      and 'steal_back' or nil
end

local PROTECTIONS = {
  function(c) return c.mode == 'probe' and 'probe' end,
  function(c) return is_forced(c.symbol, c.strategy, c.crypto, c.forced) and 'force_immediate' end,
  function(c) return c.crypto ~= '1' and not session_open() and 'market_closed' end,
  function(c)
    c.distance = distance(c.symbol, c.side, c.limit)
    return not c.distance and 'stale_quote'
  end,
  function(c) return c.distance <= POLICY.protection_pct and 'near_fill' end,
  function(c) return remembered_of(c).cooling and 'cooldown' end,
}

-- Why the candidate is protected from everybody, or nil.
local function protection(c)
  for i = 1, #PROTECTIONS do
    local reason = PROTECTIONS[i](c)
    if reason then return reason end
  end
  return nil
end

-- One open order as a candidate for `thief`, a symbol, or nil for anybody; `pnl` is its live forecast,
-- the score of the ranking.
local function candidate(id, pnl, thief)
  local v = redis.call('HMGET', K.claim(id), 'symbol', 'strategy', 'side', 'crypto', 'limit', 'mode',
      'forced', 'need', 'filled', 'order_id', 'slot', 'evicted_ms')
  return {id = id, pnl = tonumber(pnl), thief = thief, symbol = v[1] or '', strategy = v[2] or '',
    side = v[3] or '', crypto = v[4] or '', limit = v[5] or '', mode = v[6] or '', forced = v[7] or '',
    need = v[8] or '', filled = v[9] or '', order_id = v[10] or '', slot = v[11] or '',
    evicted_ms = v[12] or '', weight = WEIGHT[v[4]] or WEIGHT['0'], remainder = num(v[8]) - num(v[9])}
end
