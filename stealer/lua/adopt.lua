--[[ adopt: a watcher takes over the claim its slot still holds.

Guarantee: only a claim whose owner has been silent for a while changes hands, and the fence is raised,
so that the former owner, should it live, is refused. A claim that was made again from its order has no
owner: a watcher that names it sent that order, and need not wait. A reserved claim is not adopted:
nothing was sent for it, and its deadline gives it back. A claim without a task gets the caller's.

KEYS 1 account prefix
ARGV slot, owner, silent ms, claim that the caller knows its order by ('' for none), ticket or ''
Reply {'adopted', claim}; {'busy', owner, ms since its last sign of life};
      {'none'|'wrong_state:reserved'|'uncertified'} ]]
--@include prelude
--@include identity
--@include ledger
--@include claims
local slot, owner, silent, known, ticket = ARGV[1], ARGV[2], num(ARGV[3]), ARGV[4], ARGV[5]
if not certified() then return {'uncertified'} end
local id = redis.call('HGET', K.slots, slot)
local c = id and load_claim(id)
if not c then return {'none'} end
if c.owner == owner and c.state ~= 'reserved' then return {'adopted', id} end -- a repeated call
local age = NOW - num(redis.call('ZSCORE', K.beats, id))
if age < silent and not (c.owner == '' and known == id) then return {'busy', c.owner, int(age)} end
if c.state == 'reserved' then return {'wrong_state:reserved'} end
redis.call('HSET', K.claim(id), 'owner', owner,
    'fence', int(L.epoch) .. '.' .. int(next_sequence()))
if (c.ticket or '') == '' then redis.call('HSET', K.claim(id), 'ticket', ticket or '') end
redis.call('ZADD', K.beats, NOW_TEXT, id)
save_ledger()
return {'adopted', id}
