--[[ budget: one request of the account's API budget, and what an answer said about it.

`take` asks before a call, and is granted or told how long to wait. `spent` counts a call that was made
without asking: a cancel or an order, which wait for nothing. `told` counts nothing. Each of them may
carry what an answer's headers stated. Needs no certificate: it neither holds nor frees money.

Guarantee: in one window no more than the limit is granted, less what each call leaves to more urgent
ones; a stated figure counts only if it leaves less; after a 429 nothing is granted before its reset, or
before a call that was made later has succeeded. A repeated call counts once more.

KEYS 1 account prefix
ARGV api (trading|data), mode (take|spent|told), call, who, then what an answer stated, '' for nothing:
     limit, remaining, ms to its reset when it came, ms since it came, refused with 429 (0|1, ''
     if the broker itself did not answer), ms since its call was begun
Reply {'granted'|'wait'|'noted', wait ms, left, limit (0: none), ms to the window's end, ms held,
       what this call may still use, figures stated by the broker (0|1)} ]]
--@include prelude
--@include budget
local api, mode, call, who, limit, remaining, reset, age, refused, begun = unpack(ARGV)
local b, member = load_budget(api), who .. ' ' .. call
redis.call('EXISTS', K.counters, K.budget_waiting)

local function count_call()
  b.used = b.used + 1
  redis.call('HINCRBY', K.counters, 'api_calls_total:' .. call, 1)
  redis.call('ZREM', K.budget_waiting, member)
end

-- Before its answer is believed, which counts this call as well.
if mode == 'spent' then count_call() end
if limit then
  age = num(age)
  limit, remaining, reset = budget_whole(limit), budget_whole(remaining), budget_whole(reset)
  local left = reset and reset - age
  if limit then b.limit = math.min(limit, 1000000) end
  if remaining and left and left <= BUDGET_LONGEST then
    believe(b, NOW + left, math.max(b.limit - remaining, 0))
  end
  if refused == '1' then
    hold(b, remaining, left, NOW - age)
    redis.call('HINCRBY', K.counters, 'api_429_total', 1)
  elseif refused == '0' and NOW - num(begun) > b.held_at then
    b.held = 0
  end
end

local answer, wait = 'noted', 0
if mode == 'take' then
  wait = budget_wait(b, call)
  answer = wait > 0 and 'wait' or 'granted'
end
if answer == 'granted' then count_call() end
if answer == 'wait' then
  redis.call('HINCRBY', K.counters, 'api_refused_total', 1)
  redis.call('ZADD', K.budget_waiting, int(NOW + wait), member)
end
save_budget(b)
return {answer, int(wait), int(math.max(b.limit - b.used, 0)), int(b.limit), int(b.ends - NOW),
  int(math.max(b.held - NOW, 0)), int(budget_room(b, call)), b.known and '1' or '0'}
