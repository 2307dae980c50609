--[[ certify: bind the ledger to the server it runs on and begin a new epoch.

Guarantee: afterwards every script runs here and nowhere else. By the keeper, after it has waited out
what may be in flight; a lower term is refused. Stores the policy all hosts decide by. After a loss
of memory nothing is stolen for one cooldown (pass that as no-steal ms); a later certification does
not shorten it.

KEYS 1 account prefix   ARGV term, no-steal ms, then policy field, value, ...
Reply {'ok', epoch}; {'deposed'|'replica'} ]]
--@include prelude
--@include identity
--@include ledger
if num(ARGV[1]) < L.term then return {'deposed'} end
local run, repl = identity()
if run == '' then return {'replica'} end
-- For readers; and, being longer than 64 characters, it makes Redis keep the hash as a table, in which
-- every call finds its thirty fields faster than by searching a list for each.
local ABOUT = 'What this account may use and does use, in micro-dollars, and who certified it. '
    .. 'Written by scripts only.'
local sequence = next_sequence()
local fields = {}
for i = 3, #ARGV do fields[#fields + 1] = ARGV[i] end
if #fields > 0 then redis.call('HSET', K.policy, unpack(fields)) end
redis.call('HSET', K.ledger, 'run', run, 'repl', repl, 'epoch', int(L.epoch + 1),
    'cert_snapshot', int(sequence), 'certified_ms', int(NOW),
    'no_steal_until', int(math.max(L.no_steal_until, num(ARGV[2]) > 0 and NOW + num(ARGV[2]) or 0)),
    'about', ABOUT, 'policy_version', int(sequence) .. '@' .. clock_text())
save_ledger()
-- While nothing was certified no sign of life could be noted: every owner begins anew.
for _, id in ipairs(redis.call('ZRANGE', K.beats, 0, -1)) do
  redis.call('ZADD', K.beats, int(NOW), id)
end
return {'ok', int(L.epoch + 1)}
