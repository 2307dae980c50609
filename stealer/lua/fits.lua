--[[ fits: would this need fit free capacity now? Advisory and read only.

KEYS 1 account prefix   ARGV crypto (0|1), need
Reply {'fits'}; {'short'|'halted'|'stale_account'|'uncertified'} ]]
--@include prelude
--@include identity
--@include ledger
--@include policy
local weight, need = WEIGHT[ARGV[1]], num(ARGV[2])
if not certified() then return {'uncertified'} end
if L.halted ~= '' then return {'halted'} end
if not account_fresh() then return {'stale_account'} end
return {fits_in(room(), need, weight) and 'fits' or 'short'}
