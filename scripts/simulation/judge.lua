--[[ What the ledger charges must be the sum of what its claims are charged for, after every script.
Reads the keys themselves; shares nothing with the scripts it judges. `evicting` is what it remembers.
Returns what is wrong, or ''. ]]
local data, prefix, evicting = ...

local function map(name)
  local entry = data[prefix .. name]
  return entry and entry.map or {}
end

local ledger, total, crypto = map(':ledger'), 0, 0
local open = map(':open')
for id in pairs(map(':claims')) do
  local c = map(':claim:' .. id)
  local n = function(field) return tonumber(c[field] or 0) or 0 end
  local amount, of_crypto
  if c.state == 'reserved' then
    amount, of_crypto = n('fund'), n('fund_crypto')
    if amount > n('need') or amount < 0 then return id .. ' holds ' .. amount .. ' of ' .. n('need') end
  else
    amount = (c.state == 'closed' and n('filled') or n('need')) - n('absorbed')
    of_crypto = c.crypto == '1' and amount or 0
    if amount < 0 then return id .. ' is charged ' .. amount end
  end
  total, crypto = total + amount, crypto + of_crypto
  -- An eviction is irrevocable: its order may be canceled at any moment.
  if evicting[id] and c.state ~= 'evicting' and c.state ~= 'closed' then
    return id .. ' was evicting and is ' .. c.state
  end
  if c.state == 'evicting' then evicting[id] = true end
  local indexed = open[id] ~= nil
  if indexed ~= (c.state == 'open') then return id .. ' is ' .. tostring(c.state) .. ', in open: ' .. tostring(indexed) end
end
if total ~= tonumber(ledger.charged_total or 0) then
  return 'the claims are charged ' .. total .. ', the ledger says ' .. ledger.charged_total
end
if crypto ~= tonumber(ledger.charged_crypto or 0) then
  return 'crypto claims are charged ' .. crypto .. ', the ledger says ' .. ledger.charged_crypto
end
return ''
