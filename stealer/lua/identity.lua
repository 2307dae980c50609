--[[ identity: which server this is, and whether the ledger is certified for it. Read only.

KEYS 1 account prefix   ARGV none
Reply {run id, replication id, number of the certificate (0 without one), certified (0|1)} ]]
--@include prelude
--@include identity
--@include ledger
local run, repl = identity()
return {run, repl, int(L.cert_snapshot), certified() and '1' or '0'}
