--[[ identity: which server this is, and whether the ledger is certified for it. Read only.

KEYS 1 account prefix   ARGV none
Reply {run id, replication id, number of the certificate (0 without one), certified (0|1), why it is
      halted or '', when that was last said (ms)} ]]
--@include prelude
--@include identity
--@include ledger
--@include policy
local run, repl = identity()
return {run, repl, int(L.cert_snapshot), certified() and '1' or '0', L.halted,
  int(num(redis.call('HGET', K.ledger, 'halted_ms')))}
