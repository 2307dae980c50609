--[[ halt: the kill switch. While set, nothing is acquired or launched; orders stay as they are.

KEYS 1 account prefix   ARGV reason ('' resumes), who
Reply {'halted'|'resumed', reason before} ]]
--@include prelude
local reason, who = ARGV[1], ARGV[2]
redis.call('EXISTS', K.ledger, K.audit)
local before = redis.call('HGET', K.ledger, 'halted') or ''
redis.call('HSET', K.ledger, 'halted', reason, 'halted_ms', NOW_TEXT)
redis.call('XADD', K.audit, 'MAXLEN', '~', '10000', '*', 'at', iso(NOW), 'what',
    reason ~= '' and 'halt' or 'resume', 'claim', '-', 'who', who, 'why',
    reason ~= '' and reason or '-')
return {reason ~= '' and 'halted' or 'resumed', before}
