--[[ Stocktaking: every claim that any index knows, as it is. Charges are the sum over the claims
(PROTOCOL, "Ledger"); what somebody deleted or wrote by hand is found by comparing. ]]
local function every_id()
  local seen, ids = {}, {}
  local function add(found)
    for _, id in ipairs(found) do
      if not seen[id] then
        seen[id] = true
        ids[#ids + 1] = id
      end
    end
  end
  for _, key in ipairs({K.claims, K.open, K.heirless, K.deadlines, K.beats, K.unabsorbed}) do
    add(redis.call('ZRANGE', key, 0, -1))
  end
  add(redis.call('HVALS', K.slots))
  return ids
end

local WHOLE = {'need', 'fund', 'fund_crypto', 'pending', 'filled', 'absorbed', 'created_ms',
  'deadline_ms', 'draw_margin', 'draw_cash'}
local EXACT = {'qty', 'limit', 'filled_qty'}
local TEXT = {'symbol', 'side', 'strategy', 'slot'}

-- Text that is no UTF-8 can be read by no client of ours.
local function is_text(value)
  if not string.find(value, '[\128-\255]') then return true end
  local rest = string.gsub(value, '[\240-\244][\128-\191][\128-\191][\128-\191]', '')
  rest = string.gsub(rest, '[\224-\239][\128-\191][\128-\191]', '')
  rest = string.gsub(rest, '[\194-\223][\128-\191]', '')
  return not string.find(rest, '[\128-\255]')
end

-- The name of a field that is not written as this system writes it, or nil. Lua reads more as a number
-- than other clients do.
local function misspelt(id)
  local flat, c = redis.call('HGETALL', K.claim(id)), {}
  for i = 1, #flat, 2 do
    if not is_text(flat[i]) or not is_text(flat[i + 1]) then return 'that is no text' end
    c[flat[i]] = flat[i + 1]
  end
  for _, name in ipairs(WHOLE) do
    if c[name] and (not string.find(c[name], '^%d+$') or num(c[name]) >= LARGEST) then return name end
  end
  for _, name in ipairs(EXACT) do
    local value = c[name] or (name == 'filled_qty' and '0' or '')
    if not string.find(value, '^%d+%.?%d*$') or num(value) >= LARGEST then return name end
  end
  for _, name in ipairs(TEXT) do
    if (c[name] or '') == '' then return name end
  end
  if num(c.qty) <= 0 then return 'qty' end
  if num(c.pnl) ~= tonumber(c.pnl) or not string.find(c.pnl, '^%-?%d[%d.eE+-]*$') then return 'pnl' end
  return nil
end

-- A claim, or nil; and what is wrong with it.
local function examined(id)
  local kind = redis.call('TYPE', K.claim(id)).ok
  if kind == 'none' then return nil, 'nothing' end
  if kind ~= 'hash' then return nil, 'a ' .. kind end
  local c, spoiled = read_claim(id)
  spoiled = spoiled or misspelt(id)
  if spoiled then return nil, 'field ' .. spoiled end
  return c
end

-- The index in which a claim of this state must be, or nil.
local function index_of(c)
  if c.state == 'reserved' or c.state == 'launching' then return K.deadlines end
  return c.state == 'open' and K.open or nil
end

-- Sequence numbers are given out in turn: none can be beyond the last one.
local function sequences_fit()
  return L.snapshot <= L.seq and L.begun <= L.seq and L.cert_snapshot <= L.seq
end

-- Takes a claim that cannot be read out of everything: its order, if it has one, is then one without a
-- claim, and the broker's list makes it anew.
local function let_go(id, wrong)
  for _, key in ipairs({K.claims, K.open, K.heirless, K.deadlines, K.beats, K.unabsorbed}) do
    redis.call('ZREM', key, id)
  end
  local slots = redis.call('HGETALL', K.slots)
  for i = 1, #slots, 2 do
    if slots[i + 1] == id then redis.call('HDEL', K.slots, slots[i]) end
  end
  redis.call('DEL', K.claim(id))
  audit('spoiled', id, 'keeper', 'the claim was ' .. wrong)
end

-- A claim into every index it must be in.
local function index_again(c, id)
  redis.call('ZADD', K.claims, 'NX', int(num(c.created_ms)), id)
  local index = index_of(c)
  if index then
    redis.call('ZADD', index, 'NX', index == K.open and c.pnl or int(c.deadline_ms), id)
  end
  if c.state ~= 'closed' and (c.owner or '') ~= '' then
    redis.call('HSETNX', K.slots, c.slot, id)
    redis.call('ZADD', K.beats, 'NX', int(NOW), id)
  end
  if c.filled > c.absorbed then redis.call('ZADD', K.unabsorbed, 'NX', int(NOW), id) end
end

-- Indexes made again from the claims, so that nothing is charged without one; and every figure is one.
-- If anything had been spoiled, the account's figures decide nothing before a new snapshot.
local function repair()
  local fit = sequences_fit()
  local repaired = L.epoch > 0 and (L.spoiled or not fit)
  local total, crypto = 0, 0
  for _, id in ipairs(every_id()) do
    local c, wrong = examined(id)
    if c then
      local more, more_crypto = charged(c)
      total, crypto = total + more, crypto + more_crypto
      index_again(c, id)
    else
      repaired = true
      let_go(id, wrong)
    end
  end
  if L.epoch > 0 and (total ~= L.charged_total or crypto ~= L.charged_crypto) then
    repaired = true
    audit('recount', '-', 'keeper', 'charges were ' .. int(L.charged_total) .. ' and '
        .. int(L.charged_crypto) .. ', are ' .. int(total) .. ' and ' .. int(crypto))
  end
  if not fit then
    L.snapshot, L.begun = 0, 0
    redis.call('HSET', K.ledger, 'snapshot', '0', 'begun', '0')
  end
  for i = 1, TEXT_FROM - 1 do redis.call('HSETNX', K.ledger, NUMBERS[i], '0') end
  if repaired then
    for _, name in ipairs({'limit_total', 'limit_crypto', 'positions_total', 'positions_crypto',
        'foreign_total', 'foreign_crypto', 'power_margin', 'power_cash', 'account_ms'}) do
      redis.call('HSET', K.ledger, name, '0')
    end
  end
  if L.spoiled then
    for _, name in ipairs({'snapshot', 'begun', 'term', 'session_until'}) do
      redis.call('HSET', K.ledger, name, int(L[name]))
    end
  end
end
