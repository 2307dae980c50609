--[[ Which server this script runs on: run id and replication id together.

Either alone is not enough: a fail-over A -> B -> A brings A's run id back. A replica answers
nothing: its role is part of the answer. ]]
-- Of this server process: they cannot change while these variables live.
local run_id, clustered

local function identity()
  local replication = redis.call('INFO', 'replication')
  if not string.find(replication, 'role:master', 1, true) then return '', '' end
  if not run_id then
    local server = redis.call('INFO', 'server')
    run_id = string.match(server, 'run_id:(%w+)') or ''
    -- redis_mode in Redis, server_mode in Valkey
    clustered = string.find(server, '_mode:cluster', 1, true) ~= nil
  end
  -- Forty hexadecimal digits. A plain search is several times faster than a pattern here.
  local _, before = string.find(replication, 'master_replid:', 1, true)
  return run_id, before and string.sub(replication, before + 1, before + 40) or ''
end
