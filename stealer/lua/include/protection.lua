--[[ Protection: why an open order may not be a victim. One home for the rule.

Each protection looks at one candidate in a frozen context and gives its reason, or nil. They are
tried in this order; the first reason is the one reported. The distance is side-aware: price
through the limit is distance 0 (DESIGN part 2). ]]
local quotes, forced_crypto

local function start_protection()
  quotes, forced_crypto = {}, nil
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

local PROTECTIONS = {
  function(c) return c.mode == 'probe' and 'probe' end,
  function(c) return is_forced(c.symbol, c.strategy, c.crypto, c.forced) and 'force_immediate' end,
  function(c) return c.crypto ~= '1' and not session_open() and 'market_closed' end,
  function(c)
    c.distance = distance(c.symbol, c.side, c.limit)
    return not c.distance and 'stale_quote'
  end,
  function(c) return c.distance <= POLICY.protection_pct and 'near_fill' end,
  function(c) return redis.call('EXISTS', K.cooldown(c.symbol)) == 1 and 'cooldown' end,
}

-- Why the candidate is protected from everybody, or nil.
local function protection(c)
  for _, rule in ipairs(PROTECTIONS) do
    local reason = rule(c)
    if reason then return reason end
  end
  return nil
end

local CANDIDATE_FIELDS = {'symbol', 'strategy', 'side', 'crypto', 'limit', 'mode', 'forced', 'need',
  'filled', 'order_id', 'slot', 'evicted_ms'} -- a field less is a look-up less for each candidate

-- One open order as a candidate; `pnl` is its live forecast, the score of the ranking.
local function candidate(id, pnl)
  local values = redis.call('HMGET', K.claim(id), unpack(CANDIDATE_FIELDS))
  local c = {id = id, pnl = tonumber(pnl)}
  for i, name in ipairs(CANDIDATE_FIELDS) do c[name] = values[i] or '' end
  c.weight = WEIGHT[c.crypto] or WEIGHT['0']
  c.remainder = num(c.need) - num(c.filled)
  return c
end
