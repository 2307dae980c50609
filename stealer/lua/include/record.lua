--[[ Recording a steal: cooldowns, pairs and fights, the stream, the counters.

Cooldowns are recorded when victims are chosen, in the script that chooses them. The TTL keys are
the truth: an operator reads them with GET and TTL and may delete them. A cooldown's text also says
who stole: while it lives, its symbol may not steal back from that thief (`barred`). ]]
local function words(amount) return string.format('%.2f', amount) end

-- Keys that a steal from `victim` by `thief` may create, read before the first write (see `touch`).
local function touch_steal_keys(victim, thief, slot)
  if clustered == false then return end
  local a, b = ordered(victim, thief)
  redis.call('EXISTS', K.cooldown(victim), K.recent(a, b), K.fight(a, b), K.steals, K.counters,
      K.wake(slot or victim))
end

-- The times (ms) of a pair's latest steals with the present one, newest first, and whether they make
-- it a fight: more than the threshold within the window.
local function steals_of_pair(before)
  local threshold = POLICY.fight_threshold
  local text, count, at = NOW_TEXT, 1, NOW_TEXT
  for time in string.gmatch(before or '', '%d+') do
    if count > threshold then break end
    text, count, at = text .. ' ' .. time, count + 1, time
  end
  return text, count > threshold and NOW - num(at) <= seconds(POLICY.fight_window_seconds)
end

-- Who stole from a symbol while it cools already, in words by which `barred` goes on to know them. Only
-- `record_steal` meets such a symbol.
local function thieves_before(v, thief)
  local text, names, others = '', {[thief.symbol] = true}, 0
  for name in string.gmatch(v.cooling or '', 'stolen by (%S+) %(') do
    if not names[name] and others < 100 then
      text = text .. '; stolen by ' .. name .. ' (before)'
      names[name], others = true, others + 1
    end
  end
  return text
end

-- One victim, as a candidate (`remembered_of`), of a steal. Returns true when this steal makes the pair
-- a fight.
local function record_pair(v, thief)
  local victim, pnls = v.symbol, words(thief.pnl) .. ' over ' .. words(v.pnl)
  local cooldown = seconds(POLICY.cooldown_seconds)
  if cooldown > 0 then
    redis.call('SET', K.cooldown(victim), victim .. ' stolen by ' .. thief.symbol .. ' (' .. pnls
        .. ') at ' .. iso(NOW) .. ', until ' .. iso(NOW + cooldown)
        .. thieves_before(v, thief), 'PX', int(cooldown))
  end
  local a, b = ordered(victim, thief.symbol)
  local times, fight = steals_of_pair(v.pair)
  redis.call('SET', K.recent(a, b), times, 'PX',
      int(math.max(seconds(POLICY.fight_window_seconds), 1)))
  if not fight then return false end
  local pause = seconds(POLICY.fight_cooldown_seconds)
  if pause > 0 then
    redis.call('SET', K.fight(a, b), a .. ' and ' .. b .. ' stole from each other more than '
        .. int(POLICY.fight_threshold) .. ' times in ' .. int(POLICY.fight_window_seconds)
        .. ' s; until ' .. iso(NOW + pause), 'PX', int(pause))
  end
  redis.call('HINCRBY', K.counters, 'work_steal_fights_detected', 1)
  return true
end

-- One stream entry for the whole steal.
local function record_stream(steal_id, thief, victims, gap_text, fights)
  local first = victims[1]
  local symbols, ids, pnls = first.symbol, first.id, words(first.pnl)
  for i = 2, #victims do
    local v = victims[i]
    symbols, ids, pnls = symbols .. ' ' .. v.symbol, ids .. ' ' .. v.id, pnls .. ' ' .. words(v.pnl)
  end
  redis.call('XADD', K.steals, 'MAXLEN', '~', '100000', '*', 'steal', steal_id, 'at', iso(NOW),
      'thief', thief.symbol, 'thief_claim', thief.id, 'thief_pnl', words(thief.pnl),
      'victims', symbols, 'victim_claims', ids, 'victim_pnls', pnls, 'shortfall', gap_text,
      'fights', int(fights))
  redis.call('HINCRBY', K.counters, 'work_steal_success_total', 1)
end

-- open -> evicting, irrevocable, for the heir.
local function evict_for(heir, victims)
  for i = 1, #victims do
    local v = victims[i]
    redis.call('HSET', K.claim(v.id), 'state', 'evicting', 'heir', heir.id, 'evicted_ms', NOW_TEXT,
        'cause', 'stolen', 'by', heir.symbol, 'pnl', tostring(v.pnl))
    redis.call('ZREM', K.open, v.id)
    wake(v.slot)
  end
end
