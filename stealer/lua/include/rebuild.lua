--[[ Rebuilding the ledger when it is certified anew (PROTOCOL, "Certification and rebuild").

Until then nothing could be sent for the whole quarantine, so the broker's list says what there is.
All of it may be done again: charges are summed up from the claims at the end, and the certificate is
written after everything else. ]]
local ORDER_FIELDS = {'id', 'symbol', 'side', 'strategy', 'crypto', 'qty', 'limit', 'need', 'pnl',
  'mode', 'forced', 'created_ms', 'order_id', 'filled_qty', 'filled', 'ending'}

-- The orders in a flat list from place `from` on, each with the claim that survived of it and who
-- holds its slot, read before anything is written.
local function listed_orders(list, from)
  local orders = {}
  for at = from, #list, #ORDER_FIELDS do
    local o = {}
    for i, name in ipairs(ORDER_FIELDS) do o[name] = list[at + i - 1] end
    o.slot = o.symbol .. '|' .. o.side .. '|' .. o.strategy
    -- What is left of a claim that no index knows counts nowhere: it is made again.
    o.claim = redis.call('ZSCORE', K.claims, o.id) and load_claim(o.id)
    local holder = redis.call('HGET', K.slots, o.slot)
    if holder and holder ~= o.id then
      local kept = redis.call('HMGET', K.claim(holder), 'state', 'cause')
      if kept[2] == 'condemned' then o.before = holder elseif kept[1] then o.holder = holder end
    end
    orders[#orders + 1] = o
  end
  return orders
end

-- Nothing was sent for a reserved claim, unless the write of its launch was lost: then the broker
-- has its order (`live`, or over: `ended`). The rest is dropped; and evictions have no heir any more.
local function settle_survivors(live, ended)
  local dropped, launched = 0, {}
  for _, id in ipairs(redis.call('ZRANGE', K.claims, 0, -1)) do
    local c = load_claim(id)
    if not c then
      redis.call('ZREM', K.claims, id)
    elseif c.state == 'reserved' and (live[id] or ended[id]) then
      redis.call('HSET', K.claim(id), 'state', 'launching', 'deadline_ms', NOW_TEXT, 'pending', '0',
          'victims', '', 'fund', int(c.need), 'fund_crypto', int(c.need * c.weight.crypto))
      redis.call('ZADD', K.deadlines, NOW_TEXT, id)
      redis.call('ZADD', K.beats, NOW_TEXT, id)
      launched[id] = true
    elseif c.state == 'reserved' then
      remember_end(c, 'aborted', '0', 'dropped when the ledger was certified anew', 'keeper')
      forget(c)
      dropped = dropped + 1
    elseif c.state == 'evicting' and (c.heir or '') ~= '' then
      redis.call('HSET', K.claim(id), 'heir', '')
      redis.call('ZADD', K.heirless, NOW_TEXT, id)
    end
  end
  return dropped, launched
end

-- A claim for an order that has none. Nobody owns it until its watcher takes it up again.
local function adopt_order(o)
  redis.call('DEL', K.claim(o.id))
  redis.call('HSET', K.claim(o.id), 'slot', o.slot, 'symbol', o.symbol, 'side', o.side,
      'strategy', o.strategy, 'crypto', o.crypto, 'qty', o.qty, 'limit', o.limit, 'need', o.need,
      'pnl', o.pnl, 'mode', o.mode, 'forced', o.forced, 'owner', '', 'request', '',
      'fence', int(L.epoch + 1) .. '.' .. int(next_sequence()), 'state', 'launching',
      'created_ms', o.created_ms, 'opened_ms', NOW_TEXT, 'steal_id', '', 'ticket', '')
  redis.call('HSET', K.slots, o.slot, o.id)
  if o.before then enter_slot(o.slot, o.before) end
  redis.call('ZADD', K.claims, o.created_ms, o.id)
  redis.call('ZADD', K.beats, NOW_TEXT, o.id)
  audit('rebuild', o.id, 'keeper', 'order ' .. o.order_id .. ' had lost its claim')
end

-- The order was listed live: its claim is open, and its fills are at least those listed. They stay
-- charged until a snapshot that begins later shows them as position.
local function see_order(o, state, filled, need)
  local listed = math.min(num(o.filled), need) -- more is mended like any other difference
  if state == 'launching' then
    local pnl = redis.call('ZSCORE', K.forecasts, o.symbol .. '|' .. o.strategy) or o.pnl
    redis.call('HSET', K.claim(o.id), 'state', 'open', 'order_id', o.order_id, 'deadline_ms', '0')
    redis.call('ZREM', K.deadlines, o.id)
    redis.call('ZADD', K.open, pnl, o.id)
  end
  if o.ending == '1' and (state == 'launching' or state == 'open') then
    -- Whoever asked for the cancel has been forgotten; it is on its way, and no thief need ask again.
    redis.call('HSET', K.claim(o.id), 'state', 'evicting', 'heir', '', 'evicted_ms', NOW_TEXT,
        'cause', 'canceling when the ledger was rebuilt', 'by', 'keeper')
    redis.call('ZREM', K.open, o.id)
    redis.call('ZADD', K.heirless, NOW_TEXT, o.id)
  end
  if listed > filled then
    redis.call('HSET', K.claim(o.id), 'filled', int(listed), 'filled_qty', o.filled_qty,
        'filled_ms', NOW_TEXT)
    redis.call('ZADD', K.unabsorbed, NOW_TEXT, o.id)
  end
end

-- What all claims together are charged; the broker's own figures come with the next snapshot.
local function sum_charges()
  L.charged_total, L.charged_crypto = 0, 0
  for _, id in ipairs(redis.call('ZRANGE', K.claims, 0, -1)) do
    local c = load_claim(id)
    if c then charge(charged(c)) end
  end
  L.since_margin, L.since_cash, L.next_margin, L.next_cash = 0, 0, 0, 0
end

-- Of the orders without a claim, those that get one: in each slot that nobody holds the youngest, the
-- one its watcher follows. The others are condemned before the account is published.
local function one_a_slot(orders)
  local chosen = {}
  for _, o in ipairs(orders) do
    local other = chosen[o.slot]
    if not o.claim and not o.holder
        and not (other and num(other.created_ms) > num(o.created_ms)) then
      chosen[o.slot] = o
    end
  end
  return chosen
end

-- Returns how many claims were made for orders, and how many reservations were dropped.
local function rebuild(orders, ended)
  touch()
  local live, made = {}, 0
  for _, o in ipairs(orders) do live[o.id] = true end
  local dropped, launched = settle_survivors(live, ended)
  local chosen = one_a_slot(orders)
  for _, o in ipairs(orders) do
    local c = o.claim
    if c and c.state ~= 'closed' then
      see_order(o, launched[o.id] and 'launching' or c.state, c.filled, c.need)
    elseif chosen[o.slot] == o then
      adopt_order(o)
      see_order(o, 'launching', 0, num(o.need))
      made = made + 1
    end
  end
  sum_charges()
  if made > 0 then count('rebuilt_total', made) end
  return made, dropped
end
