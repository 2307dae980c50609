--[[ Stocktaking: every claim that any index knows, as it is. Charges are the sum over the claims
(PROTOCOL, "Ledger"); what somebody deleted or wrote by hand is found by comparing. ]]

-- Every index as it is: the ids in any of them, who is in each sorted set, and slot -> claim.
local function indexes()
  local seen, ids, within, holders = {}, {}, {}, {}
  local function add(id)
    if not seen[id] then
      seen[id] = true
      ids[#ids + 1] = id
    end
  end
  for _, key in ipairs({K.claims, K.open, K.heirless, K.deadlines, K.beats, K.unabsorbed}) do
    within[key] = {}
    for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      within[key][id] = true
      add(id)
    end
  end
  local flat = redis.call('HGETALL', K.slots)
  for i = 1, #flat, 2 do
    holders[flat[i]] = flat[i + 1]
    add(flat[i + 1])
  end
  return ids, within, holders
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

-- True for a claim that keeps others out of its slot: every live one, also without an owner, but for an
-- order too many. From its launch on it gives signs of life or is an orphan.
local function keeps_slot(c) return c.state ~= 'closed' and c.cause ~= 'condemned' end

-- The sorted sets in which a claim must be.
local function places(c)
  local keys = {K.claims}
  if c.state == 'reserved' or c.state == 'launching' then keys[2] = K.deadlines end
  if c.state == 'open' then keys[2] = K.open end
  if c.state == 'evicting' and (c.heir or '') == '' then keys[2] = K.heirless end
  if keeps_slot(c) and c.state ~= 'reserved' then keys[#keys + 1] = K.beats end
  if c.filled > c.absorbed then keys[#keys + 1] = K.unabsorbed end
  return keys
end

-- What is wrong with the places of a claim, or nil. A second claim in its slot is bad while its order
-- may stay; what is sent for it, or ends, is told apart later.
local function misplaced(c, within, holders)
  for _, key in ipairs(places(c)) do
    if not within[key][c.id] then return 'in no index ' .. string.sub(key, #P + 2) end
  end
  local holder = holders[c.slot]
  if c.state == 'closed' or holder == c.id then return nil end
  if not holder then return 'in no slot' end
  if not keeps_slot(c) then return nil end
  return c.state == 'open' and 'not what its slot says' or nil
end

-- A slot that says another slot's claim, or one that is over, keeps out whom it should let in.
local function misheld(c, slot) return c.slot ~= slot or c.state == 'closed' end

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
local function index_again(c)
  local score = {[K.claims] = int(num(c.created_ms)), [K.open] = c.pnl,
    [K.deadlines] = int(c.deadline_ms)}
  for _, key in ipairs(places(c)) do redis.call('ZADD', key, 'NX', score[key] or NOW_TEXT, c.id) end
end

-- Which of two claims keeps the slot: what was sent before what was not, then what the slot says,
-- then the younger, which its watcher follows.
local function goes_before(c, other, holder)
  if not other then return true end
  if (c.state == 'reserved') ~= (other.state == 'reserved') then return other.state == 'reserved' end
  if other.id == holder or c.id == holder then return c.id == holder end
  return num(c.created_ms) > num(other.created_ms)
end

-- One claim for each slot. What is open beside it is condemned: counted until its order is over. Whatever
-- may have an order is in line for the slot, so that nobody else enters before.
local function share_slots(claims, holders)
  local first, by_id = {}, {}
  for _, c in ipairs(claims) do
    by_id[c.id] = c
    if keeps_slot(c) and goes_before(c, first[c.slot], holders[c.slot]) then first[c.slot] = c end
  end
  for slot, id in pairs(holders) do
    if by_id[id] and misheld(by_id[id], slot) then redis.call('HDEL', K.slots, slot) end
  end
  for slot, c in pairs(first) do redis.call('HSET', K.slots, slot, c.id) end
  for _, c in ipairs(claims) do
    if c.state == 'open' and keeps_slot(c) and first[c.slot].id ~= c.id then
      c.state, c.heir, c.cause = 'evicting', '', 'condemned'
      redis.call('HSET', K.claim(c.id), 'state', 'evicting', 'heir', '', 'evicted_ms', NOW_TEXT,
          'cause', 'condemned', 'by', 'keeper')
      redis.call('ZREM', K.open, c.id)
      redis.call('ZREM', K.beats, c.id)
      count('condemned_total')
      audit('condemn', c.id, 'keeper', 'claim ' .. first[c.slot].id .. ' holds its slot')
    end
  end
  for _, c in ipairs(claims) do
    if c.behind then redis.call('HDEL', K.claim(c.id), 'behind') end
  end
  for _, c in ipairs(claims) do
    if c.state ~= 'closed' and c.state ~= 'reserved' then enter_slot(c.slot, c.id) end
  end
end

-- Indexes made again from the claims, so that nothing is charged without one; and every figure is one.
-- If anything had been spoiled, the account's figures decide nothing before a new snapshot.
local function repair()
  local fit = sequences_fit()
  local repaired = L.epoch > 0 and (L.spoiled or not fit)
  local total, crypto, claims = 0, 0, {}
  local ids, _, holders = indexes()
  for _, id in ipairs(ids) do
    local c, wrong = examined(id)
    if c then
      local more, more_crypto = charged(c)
      total, crypto = total + more, crypto + more_crypto
      claims[#claims + 1] = c
    else
      repaired = true
      let_go(id, wrong)
    end
  end
  share_slots(claims, holders)
  for _, c in ipairs(claims) do index_again(c) end
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
