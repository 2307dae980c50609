--[[ The ledger: integer micro-dollars per pool (PROTOCOL, "Ledger").

Pools are `total` and `crypto`; `margin` and `cash` are the broker's own figures, a second and
independent clamp. `room` holds what is left in each of the four. A crypto order is in every pool
and weighs 2 in margin power, because the broker does not lend on crypto; a stock order is in
`total` and `margin`. ]]
local POOLS = {'total', 'crypto', 'margin', 'cash'}
local WEIGHT = {
  ['0'] = {total = 1, crypto = 0, margin = 1, cash = 0},
  ['1'] = {total = 1, crypto = 1, margin = 2, cash = 1},
}
local NUMBERS = {'limit_total', 'limit_crypto', 'positions_total', 'positions_crypto',
  'foreign_total', 'foreign_crypto', 'charged_total', 'charged_crypto', 'power_margin',
  'power_cash', 'since_margin', 'since_cash', 'next_margin', 'next_cash', 'seq', 'epoch', 'term',
  'account_ms', 'snapshot', 'begun', 'session_until', 'no_steal_until', 'cert_snapshot',
  'run', 'repl', 'halted', 'session', 'policy_version'}
local TEXT_FROM = 24 -- the first that is no number
local LARGEST = 2^53
local SIGNED = {limit_total = true, limit_crypto = true, power_margin = true, power_cash = true}

local L

-- By account: the text of each figure when it was last read or written, and the number it is. Most are
-- the same in the next call, which need not work them out again; a text is always the same number.
local texts, numbers
local texts_of, numbers_of = {}, {}

-- Certifying writes every figure. One that is missing since, no whole number, or beyond what it can
-- be was written by somebody else: it would grant what is not there, so nothing is certified with it.
-- False for such a figure.
local function read_figure(i, text, certified)
  local n = tonumber(text or certified and '' or 0)
  if not n or n % 1 ~= 0 or n >= LARGEST or n < (SIGNED[NUMBERS[i]] and -LARGEST or 0) then
    texts[i], numbers[i] = nil, 0
    return false
  end
  texts[i], numbers[i] = text or nil, n
  return true
end

local function start_ledger()
  texts, numbers = texts_of[P], numbers_of[P]
  if not texts then
    texts, numbers = {}, {}
    texts_of[P], numbers_of[P] = texts, numbers
  end
  local v, spoiled = redis.call('HMGET', K.ledger, unpack(NUMBERS)), nil
  for i = 1, TEXT_FROM - 1 do
    if v[i] ~= texts[i] and not read_figure(i, v[i], v[16]) then spoiled = NUMBERS[i] end
  end
  local n = numbers
  -- One table with all its places from the start: this runs in every call.
  L = {
    limit_total = n[1], limit_crypto = n[2], positions_total = n[3], positions_crypto = n[4],
    foreign_total = n[5], foreign_crypto = n[6], charged_total = n[7], charged_crypto = n[8],
    power_margin = n[9], power_cash = n[10], since_margin = n[11], since_cash = n[12],
    next_margin = n[13], next_cash = n[14], seq = n[15], epoch = n[16], term = n[17],
    account_ms = n[18], snapshot = n[19], begun = n[20], session_until = n[21],
    no_steal_until = n[22], cert_snapshot = n[23], run = v[24] or '', repl = v[25] or '',
    halted = v[26] or '', session = v[27] or '', policy_version = v[28] or '', spoiled = spoiled,
  }
end

-- True on the server that the ledger was certified for, and only there; never with a spoiled figure.
local function certified()
  if L.epoch == 0 or L.spoiled then return false end
  local run, repl = identity()
  return run ~= '' and run == L.run and repl == L.repl
end

local function room()
  return {
    total = L.limit_total - L.positions_total - L.foreign_total - L.charged_total,
    crypto = L.limit_crypto - L.positions_crypto - L.foreign_crypto - L.charged_crypto,
    margin = L.power_margin - L.since_margin,
    cash = L.power_cash - L.since_cash,
  }
end

-- True when an order of this need fits what is `left` in every pool it is in.
local function fits_in(left, need, weight)
  return not (weight.total > 0 and need * weight.total > left.total
      or weight.crypto > 0 and need * weight.crypto > left.crypto
      or weight.margin > 0 and need * weight.margin > left.margin
      or weight.cash > 0 and need * weight.cash > left.cash)
end

-- Change what is charged; `total` and `crypto` may be negative.
local function charge(total, crypto)
  L.charged_total = L.charged_total + total
  L.charged_crypto = L.charged_crypto + crypto
end

-- Count a fresh charge against the broker's own figures, which do not show it yet.
local function draw_power(margin, cash)
  L.since_margin, L.since_cash = L.since_margin + margin, L.since_cash + cash
  L.next_margin, L.next_cash = L.next_margin + margin, L.next_cash + cash
end

local function next_sequence()
  L.seq = L.seq + 1
  return L.seq
end

-- The places in NUMBERS of what scripts change as they decide.
local MOVING = {7, 8, 11, 12, 13, 14, 15}

-- Writes of these what is not as it was read, or could not be read. What is written passes the same
-- check as what is read: a figure that a spoiled one was driven to is no figure in the next call.
local function save_ledger()
  local changed, n = {}, 0
  for i = 1, #MOVING do
    local at = MOVING[i]
    local name = NUMBERS[at]
    if L[name] ~= numbers[at] or not texts[at] then
      local text = int(L[name])
      read_figure(at, text, true)
      changed[n + 1], changed[n + 2] = name, text
      n = n + 2
    end
  end
  if n > 0 then redis.call('HSET', K.ledger, unpack(changed)) end
end

local function session_open()
  local open = L.session == 'open'
  if L.session_until > 0 and NOW >= L.session_until then open = not open end
  return open
end
