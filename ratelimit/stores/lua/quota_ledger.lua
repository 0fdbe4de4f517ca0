-- Commit to the ledger of one bucket, if nobody else did since.
--
-- Why a script: rows, head and version change together or not at all, so what replicas hold adds up.
--
-- KEYS[1]         a hash: `v` version, `d` version of the last deletion, `h` head, and `e` + Envoy for each row, which is
--                 16 digits of the version that wrote it and the row itself
-- ARGV[1]         the version that the commit was made from, 0 for none
-- ARGV[2]         head; empty leaves it as it is
-- ARGV[3]         expiry in milliseconds, set anew by each change
-- ARGV[4], [5] …  Envoy and row, in turns; an empty row deletes
-- returns         1, version, seconds, microseconds   applied, or nothing to apply and nothing new
--                 0, version, seconds, microseconds, head, whole, Envoy, row, …   outdated: rows changed since ARGV[1],
--                   or with whole = 1 all there are; without a bucket version 0
--
-- A version is a number below 2^53 that no other life of the bucket had: it begins with the time in microseconds.
local key = KEYS[1]
local time = redis.call('TIME')
local held = redis.call('HMGET', key, 'v', 'd', 'h')
local version, known = tonumber(held[1] or '0'), tonumber(ARGV[1])
if version ~= known then
  local deleted = tonumber(held[2] or '0')
  local whole = known < deleted or known > version
  local found = {0, string.format('%.0f', version), time[1], time[2], held[3] or '', whole and 1 or 0}
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 1) == 'e' and (whole or tonumber(string.sub(all[i + 1], 1, 16)) > known) then
      found[#found + 1] = string.sub(all[i], 2)
      found[#found + 1] = string.sub(all[i + 1], 17)
    end
  end
  return found
end
if #ARGV > 3 or ARGV[2] ~= '' then
  local fields = {}
  if version == 0 then
    version = tonumber(time[1]) * 1000000 + tonumber(time[2])
    fields = {'d', string.format('%.0f', version)}
  else
    version = version + 1
  end
  local stamp = string.format('%016.0f', version)
  for i = 4, #ARGV, 2 do
    if ARGV[i + 1] == '' then
      redis.call('HDEL', key, 'e' .. ARGV[i])
      fields[#fields + 1] = 'd'
      fields[#fields + 1] = string.format('%.0f', version)
    else
      fields[#fields + 1] = 'e' .. ARGV[i]
      fields[#fields + 1] = stamp .. ARGV[i + 1]
    end
  end
  if ARGV[2] ~= '' then
    fields[#fields + 1] = 'h'
    fields[#fields + 1] = ARGV[2]
  end
  fields[#fields + 1] = 'v'
  fields[#fields + 1] = string.format('%.0f', version)
  -- Lua's stack takes some thousands of arguments at a time.
  for i = 1, #fields, 1000 do
    redis.call('HSET', key, unpack(fields, i, math.min(i + 999, #fields)))
  end
  redis.call('PEXPIRE', key, ARGV[3])
end
return {1, string.format('%.0f', version), time[1], time[2]}
