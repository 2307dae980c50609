--[[ certify: bind the ledger to the server it runs on, rebuilt from the broker's orders, and begin a
new epoch.

Guarantee: afterwards every script runs here and nowhere else. By the keeper, after it has waited out
what may be in flight; a lower term is refused, and so is a caller that saw another server or another
certificate than are here now, so that a repeated call rebuilds nothing twice. Our orders that the
broker lists become open claims (those that have one keep it), reservations are dropped, evictions
lose their heirs, launches stay and expire. The certificate is written last. Stores the policy all
hosts decide by. After a loss of memory nothing is stolen for one cooldown (pass that as no-steal ms);
a later certification does not shorten it.

KEYS 1 account prefix
ARGV term, no-steal ms, what `identity` answered ('RUN/REPL/CERTIFICATE', '' for whatever is here),
     number of policy texts, policy field, value, ..., number of ended, claims whose orders are over,
     ..., then sixteen fields (include/rebuild) of each order that is live
Reply {'ok', epoch, claims made, reservations dropped}; {'deposed'|'replica'|'moved'} ]]
--@include prelude
--@include identity
--@include ledger
--@include claims
--@include stocktake
--@include rebuild
if num(ARGV[1]) < L.term then return {'deposed'} end
local run, repl = identity()
if run == '' then return {'replica'} end
if ARGV[3] ~= '' and ARGV[3] ~= run .. '/' .. repl .. '/' .. int(L.cert_snapshot) then
  return {'moved'}
end
-- For readers; and, being longer than 64 characters, it makes Redis keep the hash as a table, in which
-- every call finds its thirty fields faster than by searching a list for each.
local ABOUT = 'What this account may use and does use, in micro-dollars, and who certified it. '
    .. 'Written by scripts only.'
local fields, ended, at = {}, {}, 5
for i = at, at + num(ARGV[4]) - 1 do fields[#fields + 1] = ARGV[i] end
at = at + #fields
for i = at + 1, at + num(ARGV[at]) do ended[ARGV[i]] = true end
repair()
local orders = listed_orders(ARGV, at + 1 + num(ARGV[at]))
-- A ledger that was lost counts from zero again: by the clock, no number of before comes again.
L.seq = math.max(L.seq, NOW)
local made, dropped = rebuild(orders, ended)
if #fields > 0 then redis.call('HSET', K.policy, unpack(fields)) end
-- While nothing was certified no sign of life could be noted: every owner begins anew.
for _, id in ipairs(redis.call('ZRANGE', K.beats, 0, -1)) do
  redis.call('ZADD', K.beats, NOW_TEXT, id)
end
local sequence = next_sequence()
save_ledger()
redis.call('HSET', K.ledger, 'run', run, 'repl', repl, 'epoch', int(L.epoch + 1),
    'term', int(math.max(L.term, num(ARGV[1]))),
    'cert_snapshot', int(sequence), 'certified_ms', NOW_TEXT,
    'no_steal_until', int(math.max(L.no_steal_until, num(ARGV[2]) > 0 and NOW + num(ARGV[2]) or 0)),
    'about', ABOUT, 'policy_version', int(sequence) .. '@' .. clock_text())
return {'ok', int(L.epoch + 1), int(made), int(dropped)}
