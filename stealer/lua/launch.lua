--[[ launch: the only permission to send the POST, by the owner just before it.

Guarantee: the claim is fully funded, by the broker's own figures too, no pool is overdrawn, no victim of
its own is pending, it is in time, nobody halted or fenced it, and this is the server the ledger was
certified for. Repeated with the same request id it gives the same answer; with another one it
refuses, since a POST may be out.

KEYS 1 account prefix   ARGV claim, fence, request
Reply {'ok', trusted ms}; {'duplicate'|'halted'|'underfunded'|'overdrawn'|'late'|'gone'|
      'fenced'|'wrong_state:STATE'|'uncertified'} ]]
--@include prelude
--@include identity
--@include ledger
--@include policy
--@include claims
local id, fence, request = unpack(ARGV)
if not certified() then return {'uncertified'} end
local c = load_claim(id)
if not c then return {'gone'} end
if c.fence ~= fence then return {'fenced'} end
if c.state == 'launching' and c.launch_request == request then
  return {'ok', int(math.max(c.deadline_ms - NOW, 0))}
end
if c.state ~= 'reserved' then return {'wrong_state:' .. c.state} end
if outrun(c) then return {'duplicate'} end
if L.halted ~= '' then return {'halted'} end
if NOW > c.deadline_ms then return {'late'} end
if c.pending > 0 or not funded(c) then return {'underfunded'} end
local left = room()
if left.total < 0 or (c.weight.crypto > 0 and left.crypto < 0) then return {'overdrawn'} end
touch(c)
local trust = seconds(POLICY.trust_seconds)
redis.call('HSET', K.claim(id), 'state', 'launching', 'launch_request', request,
    'launched_ms', NOW_TEXT, 'deadline_ms', int(NOW + trust))
redis.call('ZADD', K.deadlines, int(NOW + trust), id)
redis.call('ZADD', K.beats, NOW_TEXT, id) -- from here on an owner's silence tells something
return {'ok', int(trust)}
