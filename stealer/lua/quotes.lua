--[[ quotes: publish best bid and ask of symbols; ages are turned into Redis' clock here.

Whoever waits for a price that is reached is woken (`await_price`); a flood is woken over several
quotes, and everybody looks by itself now and then.

KEYS 1 account prefix   ARGV symbol, bid, ask, age ms, ... repeated
Reply {'ok', symbols, slots woken} ]]
--@include prelude
--@include wake
local MOST_WOKEN = 256

local woken = 0
local function reached(symbol, side, low, high)
  local key = K.trigger(symbol, side)
  for _, slot in ipairs(redis.call('ZRANGEBYSCORE', key, low, high, 'LIMIT', 0, MOST_WOKEN)) do
    redis.call('ZREM', key, slot)
    wake(slot)
    woken = woken + 1
  end
end

for i = 1, #ARGV, 4 do
  local symbol, bid, ask = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  redis.call('HSET', K.quotes, symbol, bid .. ' ' .. ask .. ' ' .. int(NOW - num(ARGV[i + 3])))
  reached(symbol, 'buy', ask, '+inf')
  reached(symbol, 'sell', '-inf', bid)
end
return {'ok', int(#ARGV / 4), int(woken)}
