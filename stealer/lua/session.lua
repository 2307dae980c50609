--[[ session: the keeper says whether the stock market is open, and until when.

Scripts flip the state by themselves when the moment comes, so a decision is never by an old session.

KEYS 1 account prefix   ARGV term, open (0|1), ms until it changes (0 unknown)
Reply {'ok'}; {'deposed'} ]]
--@include prelude
local term, open, left = unpack(ARGV)
if num(term) < num(redis.call('HGET', K.ledger, 'term')) then return {'deposed'} end
redis.call('HSET', K.ledger, 'session', open == '1' and 'open' or 'closed',
    'session_until', num(left) > 0 and int(NOW + num(left)) or '0')
return {'ok'}
