--[[ An in-memory Redis in Lua: the commands that the verbs and their clients use, on plain tables.

Replies are those of RESP2: text, numbers, arrays, `false` for nil, {ok = TEXT} for a status; errors are
raised as {err = TEXT}. One call runs at a time and sees one moment, as in Redis. ]]
local data = {}
local now_ms, now_us = 0, 0
local commands = {}
local identity = {run_id = '', replid = '', role = 'master'}
local pushed = {} -- lists that were pushed to during this call, for those who block on them

local concat, sort, insert, remove, floor = table.concat, table.sort, table.insert, table.remove, math.floor
local format, upper, match = string.format, string.upper, string.match
local INFINITY = math.huge
local OK = {ok = 'OK'}

local function fail(text) error({err = text}, 0) end
local function wrong_number(name)
  fail("ERR wrong number of arguments for '" .. string.lower(name) .. "' command")
end

-- A number as Redis prints a score: the shortest text that reads back as the same number.
local function score_text(x)
  if x == INFINITY then return 'inf' end
  if x == -INFINITY then return '-inf' end
  if x == floor(x) and x < 1e17 and x > -1e17 then return format('%.0f', x) end
  for digits = 15, 17 do
    local text = format('%.' .. digits .. 'g', x)
    if tonumber(text) == x then return text end
  end
end

local function integer(text)
  if not match(text, '^-?%d+$') then fail('ERR value is not an integer or out of range') end
  return tonumber(text)
end

local function real(text)
  local word = string.lower(text)
  if word == 'inf' or word == '+inf' then return INFINITY end
  if word == '-inf' then return -INFINITY end
  local x = tonumber(text)
  if not x then fail('ERR value is not a valid float') end
  return x
end

-- ---- entries: {kind, ...; at = expiry in ms}

local function find(key, kind)
  local entry = data[key]
  if not entry then return nil end
  if entry.at and now_ms > entry.at then
    data[key] = nil
    return nil
  end
  if kind and entry.kind ~= kind then
    fail('WRONGTYPE Operation against a key holding the wrong kind of value')
  end
  return entry
end

local function made(key, kind)
  local entry = find(key, kind)
  if not entry then
    entry = {kind = kind}
    if kind == 'hash' then entry.map, entry.names = {}, {}
    elseif kind == 'zset' then entry.map, entry.size = {}, 0
    elseif kind == 'list' then entry.items = {}
    elseif kind == 'stream' then entry.items, entry.ms, entry.seq = {}, 0, 0 end
    data[key] = entry
  end
  return entry
end

-- ---- keys

function commands.DEL(a)
  local n = 0
  for i = 1, #a do
    if find(a[i]) then
      data[a[i]] = nil
      n = n + 1
    end
  end
  return n
end

function commands.EXISTS(a)
  local n = 0
  for i = 1, #a do if find(a[i]) then n = n + 1 end end
  return n
end

function commands.TYPE(a)
  local entry = find(a[1])
  return {ok = entry and entry.kind or 'none'}
end

function commands.PEXPIRE(a)
  local entry, span = find(a[1]), integer(a[2])
  if not entry then return 0 end
  if span <= 0 then data[a[1]] = nil else entry.at = now_ms + span end
  return 1
end

function commands.EXPIRE(a) return commands.PEXPIRE({a[1], format('%.0f', integer(a[2]) * 1000)}) end

function commands.PERSIST(a)
  local entry = find(a[1])
  if not entry or not entry.at then return 0 end
  entry.at = nil
  return 1
end

function commands.PTTL(a)
  local entry = find(a[1])
  if not entry then return -2 end
  return entry.at and entry.at - now_ms or -1
end

function commands.TTL(a)
  local left = commands.PTTL(a)
  return left < 0 and left or floor((left + 500) / 1000)
end

function commands.DBSIZE()
  local n = 0
  for key in pairs(data) do if find(key) then n = n + 1 end end
  return n
end

-- ---- strings

function commands.GET(a)
  local entry = find(a[1], 'string')
  return entry and entry.text or false
end

-- What is no string is nothing here, and no error.
function commands.MGET(a)
  local reply = {}
  for i = 1, #a do
    local entry = find(a[i])
    reply[i] = entry and entry.kind == 'string' and entry.text or false
  end
  return reply
end

function commands.SET(a)
  local at, condition
  local i = 3
  while i <= #a do
    local word = upper(a[i])
    if word == 'PX' or word == 'EX' then
      local span = integer(a[i + 1]) * (word == 'EX' and 1000 or 1)
      if span <= 0 then fail("ERR invalid expire time in 'set' command") end
      at, i = now_ms + span, i + 1
    elseif word == 'NX' or word == 'XX' then
      condition = word
    else
      fail('ERR syntax error')
    end
    i = i + 1
  end
  local known = find(a[1]) ~= nil
  if condition == 'NX' and known or condition == 'XX' and not known then return false end
  data[a[1]] = {kind = 'string', text = a[2], at = at}
  return OK
end

-- ---- hashes

function commands.HSET(a)
  if #a < 3 or #a % 2 == 0 then wrong_number('HSET') end
  local entry, added = made(a[1], 'hash'), 0
  local map, names = entry.map, entry.names
  for i = 2, #a, 2 do
    local name = a[i]
    if map[name] == nil then
      added = added + 1
      names[#names + 1] = name
    end
    map[name] = a[i + 1]
  end
  return added
end

function commands.HGET(a)
  local entry = find(a[1], 'hash')
  return entry and entry.map[a[2]] or false
end

function commands.HMGET(a)
  local entry, reply = find(a[1], 'hash'), {}
  local map = entry and entry.map or {}
  for i = 2, #a do reply[i - 1] = map[a[i]] or false end
  return reply
end

function commands.HGETALL(a)
  local entry, reply = find(a[1], 'hash'), {}
  if not entry then return reply end
  local n = 0
  for _, name in ipairs(entry.names) do
    reply[n + 1], reply[n + 2] = name, entry.map[name]
    n = n + 2
  end
  return reply
end

function commands.HDEL(a)
  local entry, gone = find(a[1], 'hash'), 0
  if not entry then return 0 end
  for i = 2, #a do
    if entry.map[a[i]] ~= nil then
      entry.map[a[i]] = nil
      gone = gone + 1
      for at, name in ipairs(entry.names) do
        if name == a[i] then
          remove(entry.names, at)
          break
        end
      end
    end
  end
  if #entry.names == 0 then data[a[1]] = nil end
  return gone
end

function commands.HSETNX(a)
  if #a ~= 3 then wrong_number('HSETNX') end
  local entry = find(a[1], 'hash')
  if entry and entry.map[a[2]] ~= nil then return 0 end
  return commands.HSET(a)
end

function commands.HVALS(a)
  local entry, reply = find(a[1], 'hash'), {}
  for i, name in ipairs(entry and entry.names or {}) do reply[i] = entry.map[name] end
  return reply
end

function commands.HEXISTS(a)
  local entry = find(a[1], 'hash')
  return entry and entry.map[a[2]] ~= nil and 1 or 0
end

function commands.HLEN(a)
  local entry = find(a[1], 'hash')
  return entry and #entry.names or 0
end

function commands.HINCRBY(a)
  local by = integer(a[3])
  local entry = find(a[1], 'hash')
  local old = entry and entry.map[a[2]] or '0'
  if not match(old, '^-?%d+$') then fail('ERR hash value is not an integer') end
  local new = tonumber(old) + by
  commands.HSET({a[1], a[2], format('%.0f', new)})
  return new
end

-- ---- sorted sets: `map` member -> score, `ranked` the members in order, made when asked for

local function ranked(entry)
  if entry.ranked then return entry.ranked end
  local map, members = entry.map, {}
  for member in pairs(map) do members[#members + 1] = member end
  sort(members, function(a, b)
    local x, y = map[a], map[b]
    if x ~= y then return x < y end
    return a < b
  end)
  entry.ranked = members
  return members
end

function commands.ZADD(a)
  local i, flags = 2, {}
  while true do
    local word = a[i] and upper(a[i])
    if word == 'NX' or word == 'XX' or word == 'GT' or word == 'LT' or word == 'CH' then
      flags[word] = true
      i = i + 1
    else
      break
    end
  end
  if i > #a or (#a - i) % 2 == 0 then fail('ERR syntax error') end
  for at = i, #a, 2 do real(a[at]) end
  local entry = find(a[1], 'zset')
  if not entry then
    if flags.XX then return 0 end
    entry = made(a[1], 'zset')
  end
  local added, changed = 0, 0
  for at = i, #a, 2 do
    local score, member = real(a[at]), a[at + 1]
    local old = entry.map[member]
    if old == nil then
      if not flags.XX then
        entry.map[member], entry.ranked, entry.size = score, nil, entry.size + 1
        added = added + 1
      end
    elseif not flags.NX and not (flags.GT and score <= old) and not (flags.LT and score >= old)
        and score ~= old then
      entry.map[member], entry.ranked = score, nil
      changed = changed + 1
    end
  end
  return flags.CH and added + changed or added
end

local function drop(key, entry, member)
  if entry.map[member] == nil then return 0 end
  entry.map[member], entry.ranked, entry.size = nil, nil, entry.size - 1
  if entry.size == 0 then data[key] = nil end
  return 1
end

function commands.ZREM(a)
  local entry, gone = find(a[1], 'zset'), 0
  if not entry then return 0 end
  for i = 2, #a do gone = gone + drop(a[1], entry, a[i]) end
  return gone
end

function commands.ZSCORE(a)
  local entry = find(a[1], 'zset')
  local score = entry and entry.map[a[2]]
  return score and score_text(score) or false
end

function commands.ZCARD(a)
  local entry = find(a[1], 'zset')
  return entry and entry.size or 0
end

local function rank(a, reverse)
  local entry = find(a[1], 'zset')
  if not entry or entry.map[a[2]] == nil then return false end
  local members = ranked(entry)
  for at, member in ipairs(members) do
    if member == a[2] then return reverse and #members - at or at - 1 end
  end
end

function commands.ZRANK(a) return rank(a, false) end
function commands.ZREVRANK(a) return rank(a, true) end

-- Places first..last (from 0, negative from the end) of n, as places in an array; nil when empty.
local function span(first, last, n)
  first, last = integer(first), integer(last)
  if first < 0 then first = math.max(n + first, 0) end
  if last < 0 then last = n + last end
  last = math.min(last, n - 1)
  if first > last then return 1, 0 end
  return first + 1, last + 1
end

local function rows(entry, members, with_scores)
  if not with_scores then return members end
  local reply, n = {}, 0
  for _, member in ipairs(members) do
    reply[n + 1], reply[n + 2] = member, score_text(entry.map[member])
    n = n + 2
  end
  return reply
end

local function by_rank(a, reverse)
  local with_scores = false
  for i = 4, #a do
    local word = upper(a[i])
    if word == 'WITHSCORES' then with_scores = true
    elseif word == 'REV' then reverse = true
    else fail('ERR syntax error') end
  end
  local entry = find(a[1], 'zset')
  if not entry then
    integer(a[2]) integer(a[3])
    return {}
  end
  local members = ranked(entry)
  local first, last = span(a[2], a[3], #members)
  local chosen = {}
  for i = first, last do
    chosen[#chosen + 1] = reverse and members[#members + 1 - i] or members[i]
  end
  return rows(entry, chosen, with_scores)
end

function commands.ZRANGE(a) return by_rank(a, false) end
function commands.ZREVRANGE(a) return by_rank(a, true) end

local function bound(text)
  local open = string.sub(text, 1, 1) == '('
  local rest = open and string.sub(text, 2) or text
  local word = string.lower(rest)
  if word == 'inf' or word == '+inf' then return INFINITY, open end
  if word == '-inf' then return -INFINITY, open end
  local x = tonumber(rest)
  if not x then fail('ERR min or max is not a float') end
  return x, open
end

local function within(score, low, low_open, high, high_open)
  if low_open and score <= low or not low_open and score < low then return false end
  if high_open and score >= high or not high_open and score > high then return false end
  return true
end

local function by_score(a, reverse)
  local low, low_open = bound(reverse and a[3] or a[2])
  local high, high_open = bound(reverse and a[2] or a[3])
  local with_scores, skip, most, i = false, 0, -1, 4
  while i <= #a do
    local word = upper(a[i])
    if word == 'WITHSCORES' then with_scores = true
    elseif word == 'LIMIT' then
      skip, most = integer(a[i + 1]), integer(a[i + 2])
      i = i + 2
    else fail('ERR syntax error') end
    i = i + 1
  end
  local entry = find(a[1], 'zset')
  if not entry then return {} end
  local members, chosen = ranked(entry), {}
  for at = 1, #members do
    local member = reverse and members[#members + 1 - at] or members[at]
    if most >= 0 and #chosen >= most then break end
    if within(entry.map[member], low, low_open, high, high_open) then
      if skip > 0 then skip = skip - 1 elseif skip == 0 then chosen[#chosen + 1] = member end
    end
  end
  return rows(entry, chosen, with_scores)
end

function commands.ZRANGEBYSCORE(a) return by_score(a, false) end
function commands.ZREVRANGEBYSCORE(a) return by_score(a, true) end
function commands.ZCOUNT(a) return #by_score({a[1], a[2], a[3]}, false) end

function commands.ZREMRANGEBYSCORE(a)
  local members = by_score({a[1], a[2], a[3]}, false)
  local entry = find(a[1], 'zset')
  for _, member in ipairs(members) do drop(a[1], entry, member) end
  return #members
end

-- ---- lists

function commands.LPUSH(a)
  local entry = made(a[1], 'list')
  for i = 2, #a do insert(entry.items, 1, a[i]) end
  pushed[#pushed + 1] = a[1]
  return #entry.items
end

function commands.RPUSH(a)
  local entry = made(a[1], 'list')
  for i = 2, #a do entry.items[#entry.items + 1] = a[i] end
  pushed[#pushed + 1] = a[1]
  return #entry.items
end

local function pop(key, place)
  local entry = find(key, 'list')
  if not entry then return false end
  local item = remove(entry.items, place or #entry.items)
  if #entry.items == 0 then data[key] = nil end
  return item
end

function commands.LPOP(a) return pop(a[1], 1) end
function commands.RPOP(a) return pop(a[1]) end

-- What a blocking pop finds at once; who finds nothing blocks at the client's side.
function commands.BLPOP(a)
  for i = 1, #a - 1 do
    local item = pop(a[i], 1)
    if item then return {a[i], item} end
  end
  return false
end

function commands.LLEN(a)
  local entry = find(a[1], 'list')
  return entry and #entry.items or 0
end

function commands.LRANGE(a)
  local entry = find(a[1], 'list')
  if not entry then return {} end
  local first, last = span(a[2], a[3], #entry.items)
  local reply = {}
  for i = first, last do reply[#reply + 1] = entry.items[i] end
  return reply
end

function commands.LTRIM(a)
  local kept = commands.LRANGE(a)
  local entry = find(a[1], 'list')
  if entry then
    if #kept == 0 then data[a[1]] = nil else entry.items = kept end
  end
  return OK
end

-- ---- streams: items {ms, seq, field, value, ...}

function commands.XADD(a)
  local i, most = 2, nil
  if upper(a[i]) == 'MAXLEN' then
    i = i + 1
    local exact = true
    if a[i] == '~' or a[i] == '=' then
      exact = a[i] == '='
      i = i + 1
    end
    if exact then most = integer(a[i]) end
    i = i + 1
  end
  if a[i] ~= '*' then fail('ERR only automatic stream ids are supported') end
  if (#a - i) < 2 or (#a - i) % 2 == 1 then wrong_number('XADD') end
  local entry = made(a[1], 'stream')
  if now_ms > entry.ms then entry.ms, entry.seq = now_ms, 0 else entry.seq = entry.seq + 1 end
  local item = {entry.ms, entry.seq}
  for at = i + 1, #a do item[#item + 1] = a[at] end
  insert(entry.items, item)
  while most and #entry.items > most do remove(entry.items, 1) end
  return format('%.0f-%.0f', entry.ms, entry.seq)
end

function commands.XLEN(a)
  local entry = find(a[1], 'stream')
  return entry and #entry.items or 0
end

local function stream_bound(text, lowest)
  if text == '-' then return 0, 0 end
  if text == '+' then return INFINITY, INFINITY end
  local ms, seq = match(text, '^(%d+)-(%d+)$')
  if ms then return tonumber(ms), tonumber(seq) end
  if not match(text, '^%d+$') then fail('ERR Invalid stream ID specified as stream command argument') end
  return tonumber(text), lowest and 0 or INFINITY
end

local function stream_range(a, reverse)
  local low_ms, low_seq = stream_bound(reverse and a[3] or a[2], true)
  local high_ms, high_seq = stream_bound(reverse and a[2] or a[3], false)
  local most = a[4] and upper(a[4]) == 'COUNT' and integer(a[5]) or INFINITY
  local entry, reply = find(a[1], 'stream'), {}
  local items = entry and entry.items or {}
  for at = 1, #items do
    if #reply >= most then break end
    local item = reverse and items[#items + 1 - at] or items[at]
    local after = item[1] > low_ms or item[1] == low_ms and item[2] >= low_seq
    local before = item[1] < high_ms or item[1] == high_ms and item[2] <= high_seq
    if after and before then
      local fields = {}
      for i = 3, #item do fields[i - 2] = item[i] end
      reply[#reply + 1] = {format('%.0f-%.0f', item[1], item[2]), fields}
    end
  end
  return reply
end

function commands.XRANGE(a) return stream_range(a, false) end
function commands.XREVRANGE(a) return stream_range(a, true) end

-- ---- server

function commands.TIME() return {format('%.0f', floor(now_us / 1e6)), format('%.0f', now_us % 1e6)} end

function commands.PING() return {ok = 'PONG'} end

local told = {} -- sections of INFO as they were last asked for; made anew with another identity

function commands.INFO(a)
  local section = a[1] and string.lower(a[1]) or 'all'
  if told[section] then return told[section] end
  local parts = {}
  if section ~= 'replication' then
    parts[1] = '# Server\r\nredis_version:7.4.0\r\nrun_id:' .. identity.run_id .. '\r\n'
  end
  if section ~= 'server' then
    parts[#parts + 1] = '# Replication\r\nrole:' .. identity.role .. '\r\nconnected_slaves:0\r\n'
        .. 'master_replid:' .. identity.replid .. '\r\n'
  end
  told[section] = concat(parts, '\r\n')
  return told[section]
end

function commands.FLUSHALL()
  data = {}
  return OK
end
commands.FLUSHDB = commands.FLUSHALL

-- ---- scripts and functions

local GLOBALS = {'assert', 'error', 'ipairs', 'next', 'pairs', 'pcall', 'select', 'tonumber', 'tostring',
  'type', 'unpack', 'xpcall', 'string', 'table', 'math'}
local libraries = {} -- name -> {text, functions}
local functions = {} -- name -> {run, library}
local scripts = {} -- digest -> chunk
local registering

local function argument_text(value)
  if type(value) == 'string' then return value end
  if type(value) ~= 'number' then
    fail('ERR Lua redis lib command arguments must be strings or integers')
  end
  if value == floor(value) and value < 1e15 and value > -1e15 then return format('%.0f', value) end
  return format('%.17g', value)
end

local function call(name, ...)
  local arguments = {...}
  for i = 1, #arguments do
    if type(arguments[i]) ~= 'string' then arguments[i] = argument_text(arguments[i]) end
  end
  local command = commands[name] or commands[upper(name)]
  if not command then fail('ERR Unknown Redis command called from script') end
  return command(arguments)
end

local function environment()
  local env = {}
  for _, name in ipairs(GLOBALS) do env[name] = _G[name] end
  env.redis = {
    call = call,
    pcall = function(...)
      local done, reply = pcall(call, ...)
      if done or type(reply) == 'table' then return reply end
      return {err = tostring(reply)}
    end,
    error_reply = function(text) return {err = text} end,
    status_reply = function(text) return {ok = text} end,
    acl_check_cmd = function() return true end, -- it has no users
    register_function = function(name, run) registering[name] = run end,
  }
  return env
end

local function compiled(source, name)
  local chunk, problem = loadstring(source, '@' .. name)
  if not chunk then fail('ERR Error compiling script: ' .. problem) end
  return chunk
end

-- Compiled libraries by their text, for all servers of this runtime: compiling one takes milliseconds,
-- and a run of the chunk makes every variable and function of the library anew.
LIBRARY_CHUNKS = LIBRARY_CHUNKS or {}

local function load_library(text)
  local name = match(text, '^#!lua name=(%w[%w_]*)\n')
  if not name then fail('ERR Missing library metadata') end
  local chunk = LIBRARY_CHUNKS[text]
  if not chunk then
    chunk = compiled((string.gsub(text, '^[^\n]*', '', 1)), name)
    LIBRARY_CHUNKS[text] = chunk
  end
  setfenv(chunk, environment())
  registering = {}
  chunk()
  libraries[name] = {text = text, functions = registering}
  for verb, run in pairs(registering) do functions[verb] = run end
  return name
end

function commands.FUNCTION(a)
  local word = upper(a[1])
  if word == 'LOAD' then
    return load_library(a[#a])
  elseif word == 'FLUSH' then
    libraries, functions = {}, {}
    return OK
  end
  fail('ERR unknown subcommand')
end

local function keys_and_arguments(a, first)
  local n, keys, arguments = integer(a[first]), {}, {}
  for i = first + 1, #a do
    if i - first <= n then keys[#keys + 1] = a[i] else arguments[#arguments + 1] = a[i] end
  end
  return keys, arguments
end

function commands.FCALL(a)
  local run = functions[a[1]]
  if not run then fail('ERR Function not found') end
  return run(keys_and_arguments(a, 2))
end

local function run_script(chunk, a)
  local keys, arguments = keys_and_arguments(a, 2)
  local env = environment()
  env.KEYS, env.ARGV = keys, arguments
  return setfenv(chunk, env)()
end

function commands.EVAL(a) return run_script(compiled(a[1], 'user_script'), a) end

function commands.EVALSHA(a)
  local chunk = scripts[a[1]]
  if not chunk then fail('NOSCRIPT No matching script. Please use EVAL.') end
  return run_script(chunk, a)
end

-- ---- the edge

-- What a script returned, as a reply: booleans, statuses and fractions as Redis turns them.
local function as_reply(value)
  local kind = type(value)
  if kind == 'number' then return value < 0 and math.ceil(value) or floor(value) end
  if kind == 'boolean' then return value and 1 or false end
  if kind ~= 'table' then return value or false end
  if value.err then fail(value.err) end
  if value.ok then return value.ok end
  local reply = {}
  for i = 1, #value do reply[i] = as_reply(value[i]) end
  return reply
end

local function nested(reply)
  for i = 1, #reply do if type(reply[i]) == 'table' then return true end end
  return false
end

local function perform(name, arguments)
  local command = commands[name]
  if not command then fail("ERR unknown command '" .. name .. "'") end
  return as_reply(command(arguments))
end

local function copied(value)
  if type(value) ~= 'table' then return value end
  local copy = {}
  for k, v in pairs(value) do copy[k] = copied(v) end
  return copy
end

local edge = {}

--- One command at a moment: kind, lists pushed to or nil, then the reply.
-- Kind 0 is a single value, 1 a flat list (its items follow), 2 a table, 3 an error's text.
function edge.execute(us, name, ...)
  now_us, now_ms = us, floor(us / 1000)
  pushed = {}
  local done, reply = pcall(perform, name, {...})
  local woken = #pushed > 0 and pushed or nil
  if not done then
    return 3, woken, type(reply) == 'table' and reply.err or 'ERR ' .. tostring(reply)
  end
  if type(reply) ~= 'table' then return 0, woken, reply end
  if nested(reply) or #reply > 200 then return 2, woken, reply end
  return 1, woken, unpack(reply)
end

function edge.set_identity(run_id, replid, role)
  identity.run_id, identity.replid, identity.role = run_id, replid, role
  told = {}
end

function edge.keep_script(digest, text) scripts[digest] = compiled(text, 'user_script') end
function edge.forget_scripts() scripts = {} end

--- A new process: libraries are loaded again (or lost with everything else), scripts are gone.
function edge.boot(keep_libraries)
  local kept = {}
  for _, library in pairs(libraries) do kept[#kept + 1] = library.text end
  libraries, functions, scripts = {}, {}, {}
  if not keep_libraries then return end
  for _, text in ipairs(kept) do load_library(text) end
end

--- A copy of all keys, to be given to `restore` any number of times.
function edge.save() return copied(data) end
function edge.restore(state) data = copied(state) end

--- The table of all keys itself, for a judge that reads it in Lua.
function edge.data() return data end

return edge
