--[[ Recording a steal: cooldowns, bars, pairs and fights, the stream, the counters.

Cooldowns are recorded when victims are chosen, in the script that chooses them. The TTL keys are
the truth: an operator reads them with GET and TTL and may delete them. ]]
local function words(amount) return string.format('%.2f', amount) end

-- Keys that a steal from `victim` by `thief` may create, read before the first write (see `touch`).
local function touch_steal_keys(victim, thief, slot)
  if clustered == false then return end
  local a, b = ordered(victim, thief)
  redis.call('EXISTS', K.cooldown(victim), K.barred(victim, thief), K.pair(a, b), K.fight(a, b),
      K.steals, K.counters, K.wake(slot or victim))
end

-- One (victim, thief) pair of a steal. Returns true when this steal makes it a fight.
local function record_pair(victim, thief, victim_pnl, thief_pnl)
  local cooldown = seconds(POLICY.cooldown_seconds)
  local text = 'stolen by ' .. thief .. ' (' .. words(thief_pnl) .. ' over ' .. words(victim_pnl)
      .. ') at ' .. iso(NOW) .. ', until ' .. iso(NOW + cooldown)
  if cooldown > 0 then
    redis.call('SET', K.cooldown(victim), victim .. ' ' .. text, 'PX', int(cooldown))
    redis.call('SET', K.barred(victim, thief), victim .. ' may not steal back: ' .. text,
        'PX', int(cooldown))
  end
  local a, b = ordered(victim, thief)
  local threshold, window = POLICY.fight_threshold, seconds(POLICY.fight_window_seconds)
  local key = K.pair(a, b)
  local length = redis.call('LPUSH', key, int(NOW))
  redis.call('PEXPIRE', key, int(math.max(window, 1)))
  if length <= threshold then return false end
  redis.call('LTRIM', key, 0, threshold)
  if NOW - num(redis.call('LINDEX', key, threshold)) > window then return false end
  local pause = seconds(POLICY.fight_cooldown_seconds)
  if pause > 0 then
    redis.call('SET', K.fight(a, b), a .. ' and ' .. b .. ' stole from each other more than '
        .. int(threshold) .. ' times in ' .. int(POLICY.fight_window_seconds) .. ' s; until '
        .. iso(NOW + pause), 'PX', int(pause))
  end
  redis.call('HINCRBY', K.counters, 'work_steal_fights_detected', 1)
  return true
end

-- One stream entry for the whole steal.
local function record_stream(steal_id, thief, victims, gap_text, fights)
  local ids, symbols, pnls = {}, {}, {}
  for i, v in ipairs(victims) do
    ids[i], symbols[i], pnls[i] = v.id, v.symbol, words(v.pnl)
  end
  redis.call('XADD', K.steals, 'MAXLEN', '~', '100000', '*', 'steal', steal_id, 'at', iso(NOW),
      'thief', thief.symbol, 'thief_claim', thief.id, 'thief_pnl', words(thief.pnl),
      'victims', table.concat(symbols, ' '), 'victim_claims', table.concat(ids, ' '),
      'victim_pnls', table.concat(pnls, ' '), 'shortfall', gap_text, 'fights', int(fights))
  redis.call('HINCRBY', K.counters, 'work_steal_success_total', 1)
end

-- open -> evicting, irrevocable, for the heir.
local function evict_for(heir, victims)
  for _, v in ipairs(victims) do
    redis.call('HSET', K.claim(v.id), 'state', 'evicting', 'heir', heir.id, 'evicted_ms', int(NOW),
        'cause', 'stolen', 'by', heir.symbol, 'pnl', tostring(v.pnl))
    redis.call('ZREM', K.open, v.id)
    wake(v.slot)
  end
end
