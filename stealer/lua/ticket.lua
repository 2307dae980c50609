--[[ ticket: one watcher's task, remembered over its restarts: when it began and what was filled.

Guarantee: the first call fixes the start; later ones, until the task expires, find the same start and
every fill of claims that carried the ticket, each claim once. A caller that remembers more (the ledger
was lost) says so: the earlier start counts, and the fills of both, by claim.

KEYS 1 account prefix
ARGV ticket, life ms, fresh (0|1), ms since the start as the caller remembers it, then 'claim qty' of
     each fill that it remembers
Reply {started ms, now ms, 'claim qty', ...} ]]
--@include prelude
--@include task
return remembered(ARGV[1], num(ARGV[2]), ARGV[3], num(ARGV[4]), ARGV, 5)
