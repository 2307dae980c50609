--[[ mend: the broker shows another quantity or limit for an order than its claim says.

Guarantee: the claim says what the broker shows, and is charged for the larger of the two: never less
than what is live. By the keeper, before the account is published; safe to repeat.

KEYS 1 account prefix   ARGV term, claim, qty, limit, need (micro-dollars)
Reply {'mended'}; {'same'}; {'gone'|'wrong_state:STATE'|'deposed'|'uncertified'} ]]
--@include prelude
--@include identity
--@include ledger
--@include claims
local term, id, qty, limit, need = unpack(ARGV)
if not certified() then return {'uncertified'} end
if num(term) < L.term then return {'deposed'} end
local c = load_claim(id)
if not c then return {'gone'} end
if c.state == 'reserved' or c.state == 'closed' then return {'wrong_state:' .. c.state} end
if c.qty == qty and c.limit == limit then return {'same'} end
touch(c)
local more = math.max(num(need) - c.need, 0)
charge(more, more * c.weight.crypto)
redis.call('HSET', K.claim(id), 'qty', qty, 'limit', limit, 'need', int(c.need + more))
save_ledger()
count('mended_total')
audit('mend', id, 'keeper', 'the order is ' .. qty .. ' at ' .. limit .. ', the claim said ' .. c.qty
    .. ' at ' .. c.limit)
return {'mended'}
