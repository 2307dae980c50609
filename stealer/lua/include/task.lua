--[[ A watcher's task as it is remembered over restarts: when it began, and what each of its ended
claims filled. Shared by `ticket` and `standing`. ]]

-- {started ms, now ms, 'claim qty', ...}. The first call begins it; `fresh` begins it anew. A caller
-- that remembers more is `age` ms old and adds its lines 'claim qty', from the given place of `lines`.
local function remembered(ticket, life, fresh, age, lines, from)
  local key, fills = K.ticket(ticket), K.fills(ticket)
  redis.call('EXISTS', key, fills)
  if fresh == '1' then redis.call('DEL', key, fills) end
  if redis.call('EXISTS', key) == 0 then
    redis.call('SET', key, NOW_TEXT, 'PX', int(life))
    redis.call('DEL', fills)
  end
  local started = num(redis.call('GET', key))
  if NOW - age < started then
    started = NOW - age
    redis.call('SET', key, int(started), 'PX', int(math.max(life - age, 60000)))
  end
  local reply, told = {int(started), NOW_TEXT}, {}
  for _, line in ipairs(redis.call('LRANGE', fills, 0, -1)) do
    told[string.match(line, '^%S+') or ''] = true
    reply[#reply + 1] = line
  end
  for i = from, #lines do
    if not told[string.match(lines[i], '^%S+') or ''] then
      redis.call('RPUSH', fills, lines[i])
      redis.call('PEXPIRE', fills, int(math.max(redis.call('PTTL', key), 604800000)))
      reply[#reply + 1] = lines[i]
    end
  end
  return reply
end
