--[[ Claims as hashes: reading, paying an heir, and taking them out of the ledger. ]]
local CLAIM_NUMBERS = {'need', 'fund', 'fund_crypto', 'pending', 'filled', 'absorbed', 'spent',
  'deadline_ms'}
local STATES = {reserved = true, launching = true, open = true, evicting = true, closed = true}

-- A claim and, when somebody else wrote to its hash, the name of what cannot be.
local function read_claim(id)
  local flat = redis.call('HGETALL', K.claim(id))
  if #flat == 0 then return nil end
  local c, spoiled = {id = id}, nil
  for i = 1, #flat, 2 do c[flat[i]] = flat[i + 1] end
  if not c.need then spoiled = 'need' end
  for _, name in ipairs(CLAIM_NUMBERS) do
    local n = tonumber(c[name] or 0)
    if not (n and n >= 0 and n < LARGEST) then spoiled, n = name, 0 end
    c[name] = n
  end
  c.weight = WEIGHT[c.crypto]
  if c.fund > c.need then spoiled = 'fund' end
  if c.filled > c.need then spoiled = 'filled' end
  if c.absorbed > c.filled then spoiled = 'absorbed' end
  if not c.weight then spoiled = 'crypto' end
  if not STATES[c.state] then spoiled = 'state' end
  if not c.slot then spoiled = 'slot' end
  if not c.symbol then spoiled = 'symbol' end
  if not tonumber(c.pnl) or tonumber(c.pnl) ~= tonumber(c.pnl) then spoiled = 'pnl' end
  return c, spoiled
end

-- A claim, nil when there is none. By a spoiled one nothing is decided: it might free what others hold.
local function load_claim(id)
  local c, spoiled = read_claim(id)
  if spoiled then error('SPOILED ' .. K.claim(id) .. ' field ' .. spoiled) end
  return c
end

-- True once a claim has all it needs, in the pools and of the broker's own figures. A victim that filled
-- gave nothing back there: what the claim then lacks must be drawn, or the next one is granted the same.
local function funded(c)
  return c.fund >= c.need and c.fund_crypto >= c.need * c.weight.crypto
      and num(c.draw_margin) >= c.need * c.weight.margin and num(c.draw_cash) >= c.need * c.weight.cash
end

-- What the ledger charges a claim for, per pool (PROTOCOL, "Ledger").
local function charged(c)
  if c.state == 'reserved' then return c.fund, c.fund_crypto end
  local amount = c.need - c.absorbed
  if c.state == 'closed' then amount = c.filled - c.absorbed end
  return amount, amount * c.weight.crypto
end

-- The live claims from one on, each behind the last in line for their slot. Each once: what somebody
-- else wrote may go round in a circle.
local function in_line(id)
  local seen = {}
  return function()
    local this = id
    if not this or this == '' or seen[this] then return nil end
    local c = redis.call('HMGET', K.claim(this), 'state', 'behind')
    id, seen[this] = c[2], true
    return c[1] and c[1] ~= 'closed' and this or nil
  end
end

-- True once another order was found live in a claim's slot: its own must not be sent beside that.
local function outrun(c) return in_line(c.behind)() ~= nil end

-- The slot is this claim's, at once or when those before it have ended: whoever holds it, nobody else
-- may enter while an order lives. `gone` is ending just now, and in line no more.
local function enter_slot(slot, id, gone)
  local last
  for before in in_line(redis.call('HGET', K.slots, slot)) do
    if before == id then return end
    if before == gone then break end
    last = before
  end
  if last then
    redis.call('HSET', K.claim(last), 'behind', id)
  else
    redis.call('HSET', K.slots, slot, id)
  end
end

-- Read every key that may not exist yet, before the first write: in a cluster a migrating slot then
-- refuses the script before anything has changed (PROTOCOL, "Cooldowns and fights"). Elsewhere no
-- key can be refused, and the reads would only cost.
local function touch(c)
  if clustered == false then return end
  redis.call('EXISTS', K.slots, K.claims, K.open, K.heirless, K.deadlines, K.beats, K.unabsorbed,
      K.waiters, K.waiting, K.counters, K.decisions, K.audit)
  if not c then return end
  for _, first in ipairs({redis.call('HGET', K.slots, c.slot) or '', c.behind or ''}) do
    for _ in in_line(first) do end
  end
  redis.call('EXISTS', K.claim(c.id), K.ended(c.id), K.wake(c.slot), K.refused(c.slot),
      K.fills(c.ticket or ''), K.wake('exit|' .. (c.ticket or '')))
  local heir = c.heir and c.heir ~= '' and redis.call('HGET', K.claim(c.heir), 'slot')
  if heir then redis.call('EXISTS', K.wake(heir)) end
end

-- The best waiter better than `above` whose need fits what `left` answers in every pool it is in, and
-- whose entry lives; nil if there is none. `mine` is never its own rival. Bounded: waiters are as many
-- as slots that were refused lately.
local function best_waiter(left, above, mine)
  local at, free = 0, nil
  while at < 1024 do
    local page = redis.call('ZREVRANGEBYSCORE', K.waiters, '+inf', above and '(' .. above or '-inf',
        'LIMIT', at, 16)
    for i = 1, #page do
      local slot = page[i]
      local need, crypto, expires = string.match(
          redis.call('HGET', K.waiting, slot) or '', '^(%d+) ([01]) (%d+)$')
      if slot ~= mine and need and num(expires) > NOW then
        free = free or left()
        if fits_in(free, num(need), WEIGHT[crypto]) then return slot end
      end
    end
    if #page < 16 then return nil end
    at = at + 16
  end
  return nil
end

local function wake_best()
  local slot = best_waiter(room, nil, nil)
  if slot then wake(slot) end
end

-- A stock buy's fill is paid in cash, which its charge does not count against, and the broker's figure
-- does not show it before the next snapshot: a crypto order must not be granted that cash again.
local function spend_cash(c, filled)
  if c.crypto ~= '1' and c.side == 'buy' and filled > c.filled then
    draw_power(0, filled - c.filled)
  end
end

-- `freed` micro-dollars of victim `v` go first to what its heir still lacks, the rest is free.
-- Returns the heir's slot, to be woken once the ledger is saved, or nil.
local function pay_heir(v, freed)
  local heir = v.heir and v.heir ~= '' and load_claim(v.heir)
  if not heir or heir.state ~= 'reserved' then return nil end
  local total = math.min(heir.need - heir.fund, freed)
  local crypto = math.min(heir.need * heir.weight.crypto - heir.fund_crypto,
      freed * v.weight.crypto)
  charge(total, crypto)
  -- The release is the broker's own figure's gain, and the heir's draw on it: room stays as it is.
  local margin = math.max(math.min(freed * v.weight.margin,
      heir.need * heir.weight.margin - num(heir.draw_margin)), 0)
  local cash = math.max(math.min(freed * v.weight.cash,
      heir.need * heir.weight.cash - num(heir.draw_cash)), 0)
  L.power_margin, L.power_cash = L.power_margin + margin, L.power_cash + cash
  draw_power(margin, cash)
  redis.call('HSET', K.ledger, 'power_margin', int(L.power_margin), 'power_cash', int(L.power_cash))
  redis.call('HSET', K.claim(heir.id), 'draw_margin', int(num(heir.draw_margin) + margin),
      'draw_cash', int(num(heir.draw_cash) + cash), 'fund', int(heir.fund + total),
      'fund_crypto', int(heir.fund_crypto + crypto), 'pending', int(math.max(heir.pending - 1, 0)))
  return heir.slot
end

-- A claim that never reached the broker gives back what it drew of the broker's own figures.
local function undraw(c)
  local margin, cash = num(c.draw_margin), num(c.draw_cash)
  L.since_margin, L.since_cash = math.max(L.since_margin - margin, 0), math.max(L.since_cash - cash, 0)
  L.next_margin, L.next_cash = math.max(L.next_margin - margin, 0), math.max(L.next_cash - cash, 0)
end

-- Out of every index that speaks of live claims; the slot is free from here on, or that of the next in
-- line. Besides `beats`, a live claim is in one index, which its state tells.
local function unindex(c)
  if c.state ~= 'closed' then
    local index = K.deadlines
    if c.state == 'open' then index = K.open elseif c.state == 'evicting' then index = K.heirless end
    redis.call('ZREM', index, c.id)
    redis.call('ZREM', K.beats, c.id)
  end
  if redis.call('HGET', K.slots, c.slot) == c.id then redis.call('HDEL', K.slots, c.slot) end
  if c.behind then
    redis.call('HDEL', K.claim(c.id), 'behind')
    local following = in_line(c.behind)()
    if following then enter_slot(c.slot, following, c.id) end
  end
end

-- The claim holds nothing any more and can never reach the broker again.
local function forget(c)
  unindex(c)
  redis.call('ZREM', K.unabsorbed, c.id)
  redis.call('ZREM', K.claims, c.id)
  redis.call('DEL', K.claim(c.id))
end

-- The victims a gone thief leaves stay evicting (irrevocable) and become heirless.
local function disown_victims(c)
  for id in string.gmatch(c.victims or '', '%S+') do
    local v = redis.call('HMGET', K.claim(id), 'state', 'heir')
    if v[1] == 'evicting' and v[2] == c.id then
      redis.call('HSET', K.claim(id), 'heir', '')
      redis.call('ZADD', K.heirless, NOW_TEXT, id)
    end
  end
end

-- How it ended, for its owner: a day is longer than any watcher sleeps.
local function remember_end(c, status, filled_qty, cause, by)
  redis.call('SET', K.ended(c.id),
      status .. ' ' .. filled_qty .. ' ' .. (cause ~= '' and cause or '-') .. ' ' .. (by ~= '' and by or '-'),
      'PX', 86400000)
end

-- A counter that somebody spoiled is no reason to stop in the middle of a decision.
local function count(name, by) redis.pcall('HINCRBY', K.counters, name, by or 1) end

local function audit(what, id, who, why)
  redis.call('XADD', K.audit, 'MAXLEN', '~', '10000', '*', 'at', iso(NOW), 'what', what,
      'claim', id, 'who', who, 'why', why)
end
