--[[ Which server this script runs on: run id and replication id together.

Either alone is not enough: a fail-over A -> B -> A brings A's run id back. A replica answers
nothing: its role is part of the answer. ]]
local function identity()
  local server = redis.call('INFO', 'server')
  local replication = redis.call('INFO', 'replication')
  if not string.find(replication, 'role:master', 1, true) then return '', '' end
  return string.match(server, 'run_id:(%w+)') or '',
      string.match(replication, 'master_replid:(%w+)') or ''
end
