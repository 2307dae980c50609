--[[ What `acquire` answers without a new claim: refusals, and requests that it has answered before. ]]

-- Refusals for want of capacity make a waiter; a better one that fits is served before the others.
local WAITS = {no_capacity = true, not_close_enough = true, pnl_not_better = true,
  all_protected = true, cooldown = true, fight = true, yield = true, disabled = true,
  too_many_candidates = true}

-- Remembered by slot: for `why`, and for late copies of the request.
local function decided(thief, outcome, reason, detail)
  redis.call('HSET', K.decisions, thief.slot,
      NOW_TEXT .. '/' .. thief.request .. ' ' .. outcome .. ' ' .. reason .. ' ' .. detail)
end

local function denied(thief, reason, detail, retry_ms)
  count('denied:' .. reason)
  decided(thief, 'denied', reason, detail)
  -- A slot with a pause of its own (retry_ms) may not enter: nobody should have to yield to it.
  if WAITS[reason] and not retry_ms and not thief.dry then
    redis.call('ZADD', K.waiters, thief.pnl_text, thief.slot)
    redis.call('HSET', K.waiting, thief.slot, thief.need_text .. ' ' .. thief.crypto .. ' '
        .. int(NOW + seconds(POLICY.waiter_seconds)))
  end
  return {'denied', reason, detail, int(retry_ms or 0)}
end

-- The answer to a request that was answered before, nil for a new one. A copy may arrive seconds late
-- (a stopped server, a proxy), when nobody waits for it any more: granted, it would steal for nobody.
-- The last request of the slot is remembered; ids 'random.asker.number' tell what came before it.
local function answered(thief)
  local said, request = redis.call('HGET', K.decisions, thief.slot), thief.request
  if not said then return nil end
  local last, outcome, reason, detail = string.match(said, '^%d+/(%S+) (%S+) (%S+) ?(.*)$')
  if not last then return nil end
  if last == request and outcome == 'denied' then return {'denied', reason, detail, '0'} end
  local asker, number = string.match(request, '%.(%w+)%.(%d+)$')
  local before, latest = string.match(last, '%.(%w+)%.(%d+)$')
  if last == request or (asker and asker == before and num(number) < num(latest)) then
    return {'denied', 'duplicate', 'a late copy of a request that was answered before', '0'}
  end
  return nil
end

-- Refusals that have nothing to do with capacity, and end by themselves; nil when there is none.
local function not_now(thief)
  if L.halted ~= '' then return denied(thief, 'halted', L.halted) end
  if not account_fresh() then
    return denied(thief, 'stale_account', L.account_ms == 0 and 'no account snapshot was ever published'
        or 'the account snapshot is ' .. words((NOW - L.account_ms) / 1000) .. ' s old')
  end
  -- No victim may die for an order that the broker's limit will refuse.
  local short = budget_wait(load_budget('trading'), 'submit')
  if short > 0 then
    return denied(thief, 'no_budget', 'the account\'s API budget has no order left for '
        .. words(short / 1000) .. ' s', short)
  end
  local kept = redis.call('MGET', K.refused(thief.slot), K.cooldown(thief.symbol))
  own_cooldown = kept[2]
  local refused = kept[1] and redis.call('PTTL', K.refused(thief.slot)) or 0
  if refused > 0 then
    return denied(thief, 'cooldown', 'the broker refused its order after a steal; waits '
        .. words(refused / 1000) .. ' s', refused)
  end
  return nil
end
