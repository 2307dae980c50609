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
local TEXT_FROM = 24
local LARGEST = 2^53
local SIGNED = {limit_total = true, limit_crypto = true, power_margin = true, power_cash = true}

local L

local function start_ledger()
  local v = redis.call('HMGET', K.ledger, unpack(NUMBERS))
  -- Certifying writes every figure. One that is missing since, no whole number, or beyond what it can
  -- be was written by somebody else: it would grant what is not there, so nothing is certified with it.
  local missing, spoiled = v[16] and '' or 0, nil
  for i = 1, TEXT_FROM - 1 do
    local n = tonumber(v[i] or missing)
    if not n or n % 1 ~= 0 or n >= LARGEST or n < (SIGNED[NUMBERS[i]] and -LARGEST or 0) then
      spoiled, n = NUMBERS[i], 0
    end
    v[i] = n
  end
  -- One table with all its places from the start: this runs in every call.
  L = {
    limit_total = v[1], limit_crypto = v[2], positions_total = v[3], positions_crypto = v[4],
    foreign_total = v[5], foreign_crypto = v[6], charged_total = v[7], charged_crypto = v[8],
    power_margin = v[9], power_cash = v[10], since_margin = v[11], since_cash = v[12],
    next_margin = v[13], next_cash = v[14], seq = v[15], epoch = v[16], term = v[17],
    account_ms = v[18], snapshot = v[19], begun = v[20], session_until = v[21],
    no_steal_until = v[22], cert_snapshot = v[23], run = v[24] or '', repl = v[25] or '',
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

local function save_ledger()
  redis.call('HSET', K.ledger,
    'charged_total', int(L.charged_total), 'charged_crypto', int(L.charged_crypto),
    'since_margin', int(L.since_margin), 'since_cash', int(L.since_cash),
    'next_margin', int(L.next_margin), 'next_cash', int(L.next_cash), 'seq', int(L.seq))
end

local function session_open()
  local open = L.session == 'open'
  if L.session_until > 0 and NOW >= L.session_until then open = not open end
  return open
end
