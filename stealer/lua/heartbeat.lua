--[[ heartbeat: a sign of life of the owner, answered with what became of its claim.

KEYS 1 account prefix   ARGV claim, fence
Reply {'uncertified'}; {'unknown'}; {'ended', text of the end};
      {'fenced', ...} or {STATE, fund, pending, filled, filled qty, order id, cause, by, cooldown ms} ]]
--@include prelude
--@include identity
--@include ledger
--@include claims
local id, fence = unpack(ARGV)
if not certified() then return {'uncertified'} end
local c = load_claim(id)
if not c then
  local ended = redis.call('GET', K.ended(id))
  if not ended then return {'unknown'} end
  return {'ended', ended}
end
if c.state ~= 'closed' and c.fence == fence then redis.call('ZADD', K.beats, 'XX', NOW_TEXT, id) end
return {c.fence == fence and c.state or 'fenced', int(c.fund), int(c.pending), int(c.filled),
  c.filled_qty or '0', c.order_id or '', c.cause or '', c.by or '',
  int(math.max(redis.call('PTTL', K.cooldown(c.symbol)), 0))}
