--[[ recount: the keeper compares the ledger with the claims, at every pass.

Guarantee: what somebody changed by hand is found within a pass. If charges are not the sum over the
claims, or a claim, an index, a slot or a figure cannot be what this system wrote, the certificate is
withdrawn, so that nothing is granted by it, and the next certification counts anew. Frees nothing.

KEYS 1 account prefix   ARGV term
Reply {'ok'}; {'spoiled', what}; {'uncertified'|'deposed'} ]]
--@include prelude
--@include identity
--@include ledger
--@include policy
--@include claims
--@include stocktake
if not certified() then return {'uncertified'} end
if num(ARGV[1]) < L.term then return {'deposed'} end
local total, crypto, what = 0, 0, nil
local ids, within, holders = indexes()
local claims = {}
for _, id in ipairs(ids) do
  local c, wrong = examined(id)
  if c then
    local more, more_crypto = charged(c)
    total, crypto = total + more, crypto + more_crypto
    claims[id] = c
    wrong = misplaced(c, within, holders)
  end
  if wrong then what = K.claim(id) .. ' is ' .. wrong end
end
for slot, id in pairs(holders) do
  if claims[id] and misheld(claims[id], slot) then
    what = K.slots .. ' says ' .. id .. ' for ' .. slot .. ', which is not its slot'
  end
end
if not what and (total ~= L.charged_total or crypto ~= L.charged_crypto) then
  what = 'charges are ' .. int(L.charged_total) .. ' and ' .. int(L.charged_crypto)
      .. ', the claims hold ' .. int(total) .. ' and ' .. int(crypto)
end
if not what and not sequences_fit() then what = 'a sequence number is beyond the last one' end
if not what then return {'ok'} end
redis.call('HSET', K.ledger, 'run', '', 'account_ms', '0')
count('spoiled_total')
return {'spoiled', what}
