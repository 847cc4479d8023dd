-- Lua functions, cjson and PCRE2 over the rules and events of a folder: lua peer.lua FOLDER SECONDS. Output as peer.mjs.
local cjson, pcre = require 'cjson', require 'rex_pcre2'
local folder, seconds = arg[1], tonumber(arg[2])
local clock = os.clock

local function set(values)
  local found = {}
  for _, value in ipairs(values) do found[value] = true end
  return found
end
local function regex(pattern)
  local compiled = pcre.new(pattern)
  if compiled.jit_compile then pcall(compiled.jit_compile, compiled) end
  return compiled
end
local function has(list, value)
  for i = 1, #list do if list[i] == value then return true end end
  return false
end

local conditions = {}
for i, source in ipairs(dofile(folder .. '/rules.lua')) do
  conditions[i] = assert(load(source))(set, regex, has, string.find, string.sub)
end
local lines = {}
for line in io.lines(folder .. '/events.ndjson') do lines[#lines + 1] = line end

local function decide(line)
  local event, found = cjson.decode(line), {}
  for i = 1, #conditions do if conditions[i](event) then found[#found + 1] = i end end
  return found
end

for i = 1, math.min(1000, #lines) do decide(lines[i]) end
local hits, events = {}, 0
for i = 1, #conditions do hits[i] = 0 end
local start = clock()
for i = 1, #lines do
  for _, rule in ipairs(decide(lines[i])) do hits[rule] = hits[rule] + 1 end
  events = i
  if i % 50 == 0 and clock() - start > seconds then break end
end
local spent = clock() - start
local latencies, stop = {}, clock() + seconds / 2
for i = 1, events do
  local before = clock()
  decide(lines[i])
  latencies[i] = clock() - before
  if before > stop then break end
end
table.sort(latencies)
print(cjson.encode({ engine = 'lua', events = events, ev_per_cpu_s = events / spent, cpu_p50_us = latencies[#latencies // 2 + 1] * 1e6,
  cpu_p99_us = latencies[math.floor(#latencies * 0.99) + 1] * 1e6, hits = hits }))
