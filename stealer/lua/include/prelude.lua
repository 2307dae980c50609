--[[ Shared by every script: the clock and exact integers.

Redis' own TIME is the only clock. Amounts are integers below 2^53, exact in Lua's doubles, but
they must be written through int(): Lua prints large numbers in exponent form. ]]
local P, NOW, NOW_TEXT
local clock

local function start_prelude(keys)
  P = keys[1]
  name_keys()
  clock = redis.call('TIME')
  NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)
  NOW_TEXT = string.format('%.0f', NOW)
end

-- The present to the microsecond, new at every call.
local function clock_text() return clock[1] .. '.' .. clock[2] end

-- Arguments come as one string and most replies go as one: a client in Python pays for each piece.
local SEPARATOR = '\31'

-- One table for all calls: to grow a new one is most of the work.
local fields = {}

local function split(text)
  local n = 0
  for field in string.gmatch(text .. SEPARATOR, '([^\31]*)\31') do
    n = n + 1
    fields[n] = field
  end
  for i = n + 1, #fields do fields[i] = nil end
  return fields
end

-- A flat list as one string; a list of rows stays what it is.
local function packed(reply)
  if type(reply[1]) == 'table' or #reply == 0 then return reply end
  return table.concat(reply, SEPARATOR)
end

local function int(n) return string.format('%.0f', n) end
-- A number that may be an amount, a time or a PnL, else 0: Lua also reads 'nan', 'inf' and 1e99.
local function num(text)
  local n = tonumber(text or 0)
  return n and n < 2^62 and n > -2^62 and n or 0
end

local function seconds(name) return num(name) * 1000 end

-- The date of a day counted from 1970. Days are counted from 1 March of year 0, which puts the leap
-- day last in its year. The last one is kept: all that a decision writes is of one day or two.
local dated, date
local function date_of(day)
  if dated == day then return date end
  local days = day + 719468
  local era = math.floor(days / 146097)
  local doe = days - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524)
      - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local of_month = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  dated, date = day, string.format('%04d-%02d-%02dT', year, month, of_month)
  return date
end

-- ISO date and time (UTC) of a moment in ms, for values that people read.
local function iso(ms)
  local s = math.floor(ms / 1000)
  local clocked = s % 86400
  return date_of((s - clocked) / 86400) .. string.format('%02d:%02d:%02dZ',
      math.floor(clocked / 3600), math.floor(clocked / 60) % 60, clocked % 60)
end
