--[[ asset: what may be ordered of a symbol, read from the broker once for everybody.

Guarantee: of those who find nothing, one at a time is told to read it, for as long as it may take.

KEYS 1 account prefix   ARGV symbol, ms that a reading may take
Reply {'kept', text}; {'read'}: the caller is to read and keep it; {'wait'}: somebody else does ]]
--@include prelude
local symbol, patience = unpack(ARGV)
local text = redis.call('GET', K.asset(symbol))
if text then return {'kept', text} end
if redis.call('EXISTS', K.reading(symbol)) == 1 then return {'wait'} end
redis.call('SET', K.reading(symbol), NOW_TEXT, 'PX', patience)
return {'read'}
