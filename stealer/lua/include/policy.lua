--[[ The account's policy, equal for all hosts (written when certifying).

What was read is kept while the library lives and read again when the ledger names another version,
which every certification does. ]]
local POLICY_FIELDS = {'entry_tolerance_pct', 'protection_pct', 'cooldown_seconds',
  'min_pnl_improvement', 'fight_threshold', 'fight_window_seconds', 'fight_cooldown_seconds',
  'crypto_out_of_hours_force_count', 'reserve_seconds', 'trust_seconds', 'account_stale_seconds',
  'quote_stale_seconds', 'max_candidates', 'waiter_seconds', 'enabled'}
local POLICY
local policies = {} -- by account prefix

local function start_policy()
  POLICY = policies[P]
  if POLICY and POLICY.version == L.policy_version then return end
  POLICY = {version = L.policy_version}
  local values = redis.call('HMGET', K.policy, unpack(POLICY_FIELDS))
  for i, name in ipairs(POLICY_FIELDS) do
    local n = tonumber(values[i] or '')
    if not (n and n >= 0 and n < LARGEST) then L.spoiled, n = 'policy ' .. name, 0 end
    POLICY[name] = n
  end
  if not L.spoiled then policies[P] = POLICY end
end

local function account_fresh()
  -- A moment in the future is as wrong as an old one.
  return L.account_ms > 0 and math.abs(NOW - L.account_ms) <= seconds(POLICY.account_stale_seconds)
end

-- Forecast PnL `p` justifies taking from forecast PnL `v`: better by the margin, also below zero.
local function beats(p, v)
  return p > v + (POLICY.min_pnl_improvement - 1) * math.abs(v)
end
