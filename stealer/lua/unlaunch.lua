--[[ unlaunch: a launched claim whose order certainly does not and will not exist.

Guarantee: by the owner (with its fence) when nothing was sent, or its only POST was answered 4xx and
the look-up says 404; by the keeper ('keeper' and its term) only after the quarantine. The charge is
freed. A thief refused after a steal waits a cooldown, so that it kills no second order in vain.

KEYS 1 account prefix   ARGV claim, fence, by (owner|keeper), why, penalise (0|1), keeper term
Reply {'unlaunched'}; {'gone'|'fenced'|'wrong_state:STATE'|'uncertified'|'deposed'} ]]
--@include prelude
--@include identity
--@include ledger
--@include policy
--@include wake
--@include claims
local id, fence, by, why, penalise, term = unpack(ARGV)
if not certified() then return {'uncertified'} end
local c = load_claim(id)
if not c then return {'gone'} end
if by == 'keeper' then
  if num(term) < L.term then return {'deposed'} end
elseif c.fence ~= fence then
  return {'fenced'}
end
if c.state ~= 'launching' then return {'wrong_state:' .. c.state} end
touch(c)
local pause = seconds(POLICY.cooldown_seconds)
if penalise == '1' and (c.steal_id or '') ~= '' and pause > 0 then
  redis.call('SET', K.refused(c.slot), why, 'PX', int(pause))
end
charge(-(c.need - c.absorbed), -(c.need - c.absorbed) * c.weight.crypto)
undraw(c)
remember_end(c, 'unlaunched', '0', why, by)
forget(c)
save_ledger()
count('unlaunched:' .. by)
audit('unlaunch', id, by, why)
wake_best()
return {'unlaunched'}
