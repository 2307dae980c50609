--[[ abort: give up a reserved claim; nothing was sent, so no evidence is needed.

Guarantee: its fund is free again, its victims stay evicting and become heirless. By the owner (with
its fence), by an operator, or by the sweep once the deadline has passed (fence '').

KEYS 1 account prefix   ARGV claim, fence, by, why
Reply {'aborted'}; {'gone'|'fenced'|'not_due'|'wrong_state:STATE'|'uncertified'} ]]
--@include prelude
--@include identity
--@include ledger
--@include wake
--@include claims
local id, fence, by, why = unpack(ARGV)
if not certified() then return {'uncertified'} end
local c = load_claim(id)
if not c then return {'gone'} end
if c.state ~= 'reserved' then return {'wrong_state:' .. c.state} end
if by == 'sweep' then
  if NOW <= c.deadline_ms then return {'not_due'} end
elseif c.fence ~= fence then
  return {'fenced'}
end
touch(c)
disown_victims(c)
charge(-c.fund, -c.fund_crypto)
undraw(c)
remember_end(c, 'aborted', '0', why, by)
forget(c)
save_ledger()
count('aborted:' .. by)
if by ~= 'owner' then audit('abort', id, by, why) end
wake_best()
return {'aborted'}
