--[[ quotes: publish best bid and ask of symbols; ages are turned into Redis' clock here.

KEYS 1 account prefix   ARGV symbol, bid, ask, age ms, ... repeated
Reply {'ok', symbols} ]]
--@include prelude
for i = 1, #ARGV, 4 do
  redis.call('HSET', K.quotes, ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2] .. ' '
      .. int(NOW - num(ARGV[i + 3])))
end
return {'ok', int(#ARGV / 4)}
