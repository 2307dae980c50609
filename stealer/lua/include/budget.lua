--[[ The account's API budget: how many requests its broker takes in this minute, and who may still
make one (docs/budget.md).

A window as the broker keeps it: `used` of `limit` requests until `ends`. `used` is the larger of what
was counted here and what an answer's headers say, so it never falls within a window, in whatever order
answers arrive. After a 429 everything is `held` until then. ]]
local BUDGET_WINDOW = 60000

-- Requests a minute before any answer has told the limit: Alpaca's default.
local BUDGET_LIMIT = 200

-- No stated reset is believed beyond this, and no stored end: clocks may jump.
local BUDGET_LONGEST = 120000

-- How long a 429 that names no reset stops everything, in ms.
local BUDGET_HOLD = 2000

-- An answer about a window that ends this much sooner than ours is a late one, or ours is wrong.
local BUDGET_LATE = 2000

-- In percent of the limit, what a call leaves to the more urgent ones: always, and on top of it at the
-- start of a window, less and less towards its end. The most urgent first.
local BUDGET_SHARES = {
  cancel = {0, 0}, submit = {5, 0}, look_up = {10, 0}, account = {10, 10}, sweep = {10, 25},
  read = {15, 35}, other = {20, 40}, quotes = {0, 0},
}

local function budget_whole(text, missing)
  local n = tonumber(text or missing)
  return n and n % 1 == 0 and n >= 0 and n < 2^53 and n or missing
end

-- The window as it is now. A new one begins when the old one has ended, in step with the last.
local function load_budget(api)
  local key = api == 'data' and K.data_budget or K.budget
  local v = redis.call('HMGET', key, 'limit', 'used', 'ends', 'known', 'held', 'held_at')
  local b = {api = api, limit = budget_whole(v[1], BUDGET_LIMIT), used = budget_whole(v[2], 0),
    ends = budget_whole(v[3], 0), known = v[4] == '1', held = budget_whole(v[5], 0), held_at = budget_whole(v[6], 0)}
  if b.held > NOW + BUDGET_LONGEST then b.held = 0 end
  if b.ends > NOW + BUDGET_LONGEST or b.ends <= NOW then
    local behind = b.known and b.ends <= NOW and (NOW - b.ends) % BUDGET_WINDOW or 0
    b.used, b.ends = 0, NOW + BUDGET_WINDOW - behind
  end
  return b
end

local function save_budget(b)
  local key = b.api == 'data' and K.data_budget or K.budget
  redis.call('HSET', key, 'limit', int(b.limit), 'used', int(b.used), 'ends', int(b.ends),
      'known', b.known and '1' or '0', 'held', int(b.held), 'held_at', int(b.held_at))
end

-- What `call` may not use now, in requests.
local function budget_floor(b, call)
  local share = BUDGET_SHARES[call] or BUDGET_SHARES.other
  local paced = math.min((b.ends - NOW) / BUDGET_WINDOW, 1)
  return math.ceil(b.limit * (share[1] + share[2] * paced) / 100)
end

local function budget_room(b, call)
  return math.max(b.limit - b.used - budget_floor(b, call), 0)
end

-- ms until `call` may be made as far as can be told now; 0: it may.
local function budget_wait(b, call)
  if b.held > NOW then return b.held - NOW end
  if b.limit == 0 or budget_room(b, call) > 0 then return 0 end
  local share, left = BUDGET_SHARES[call] or BUDGET_SHARES.other, b.limit - b.used
  local to_end = b.ends - NOW
  if share[2] == 0 then return to_end end
  -- When the floor that falls with time leaves one: limit * (always + paced * x / window) = left - 1.
  local x = ((left - 1) * 100 / b.limit - share[1]) * BUDGET_WINDOW / share[2]
  return math.max(math.ceil(to_end - math.max(x, 0)), 1)
end

-- What an answer's headers state: `ends` when its window ends, `used` what the broker counted by then.
local function believe(b, ends, used)
  local half = BUDGET_WINDOW / 2
  if ends <= NOW then return end
  if not b.known then
    b.used, b.ends, b.known = math.max(b.used, used), ends, true
  elseif ends > b.ends + half then -- the broker's next window has begun before ours ended
    b.used, b.ends = used, ends
  elseif ends >= b.ends - half then
    -- Reset and date are whole seconds: every estimate is late by up to one, so the earliest is best.
    b.used, b.ends = math.max(b.used, used), math.min(b.ends, ends)
  elseif ends > NOW + BUDGET_LATE then -- ours began too early
    b.used, b.ends = math.max(b.used, used), ends
  end
end

-- A 429 stops everything until the reset it names; one with requests left is about another limit.
local function hold(b, remaining, left, at)
  local named = left and left > 0 and (remaining or 0) == 0
  b.held = math.max(b.held, NOW + (named and math.min(left, BUDGET_LONGEST) or BUDGET_HOLD))
  b.held_at = math.max(b.held_at, at)
end
