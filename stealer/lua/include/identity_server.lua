--[[ Which server this script runs on: run id and replication id together.

Either alone is not enough: a fail-over A -> B -> A brings A's run id back. A replica answers
nothing: its role is part of the answer. ]]
local run_id -- of this server process: it cannot change while this variable lives

local function identity()
  local replication = redis.call('INFO', 'replication')
  if not string.find(replication, 'role:master', 1, true) then return '', '' end
  run_id = run_id or string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
  -- Forty hexadecimal digits. A plain search is several times faster than a pattern here.
  local _, before = string.find(replication, 'master_replid:', 1, true)
  return run_id, before and string.sub(replication, before + 1, before + 40) or ''
end
