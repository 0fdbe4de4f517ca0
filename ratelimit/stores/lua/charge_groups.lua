-- Count groups of hits: every hit of a group, or none of them where one would go over its limit.
--
-- Why a script: between looking at the counters and charging them nobody else may come.
--
-- KEYS[i]         the counter of hit i; hits of one group stand side by side
-- ARGV[4i-3]      amount, in hits: > 0 adds, 0 looks, < 0 takes back (never below 0; creates nothing)
-- ARGV[4i-2]      expiry in seconds, set when the hit creates the counter
-- ARGV[4i-1]      the limit, in hits
-- ARGV[4i]        the group's number
-- returns         for each hit, in order: {count after it, 1 if it is within its limit, else 0}, or an error; a group
--                 with a hit that cannot be counted is not charged, and each of its hits has that error
local most = 9007199254740991

local function held(key)
  local found = redis.pcall('GET', key)
  if type(found) == 'table' then
    return nil, found
  end
  local count = tonumber(found or '0')
  if count == nil then
    return nil, redis.error_reply('ERR value is not an integer or out of range')
  end
  return count
end

local function charge(i)
  local key, amount = KEYS[i], tonumber(ARGV[i * 4 - 3])
  local count = held(key)
  if amount > 0 then
    local created = redis.call('EXISTS', key) == 0
    count = math.min(most, count + amount)
    redis.call('SET', key, string.format('%.0f', count), 'KEEPTTL')
    if created then
      redis.call('EXPIRE', key, ARGV[i * 4 - 2])
    end
  elseif amount < 0 and count > 0 then
    count = math.max(0, count + amount)
    redis.call('SET', key, string.format('%.0f', count), 'KEEPTTL')
  end
  return count
end

local results = {}
local first = 1
while first <= #KEYS do
  local last = first
  while last < #KEYS and ARGV[(last + 1) * 4] == ARGV[first * 4] do
    last = last + 1
  end
  local reached, before, within, denied, failed = {}, {}, {}, false, nil
  for i = first, last do
    local count, failure = held(KEYS[i])
    if failure then
      failed = failure
      break
    end
    local amount = tonumber(ARGV[i * 4 - 3])
    before[i] = count
    local after = (reached[KEYS[i]] or count) + amount
    reached[KEYS[i]] = math.max(0, after)
    within[i] = after <= tonumber(ARGV[i * 4 - 1]) and 1 or 0
    denied = denied or (amount > 0 and within[i] == 0)
  end
  for i = first, last do
    if failed then
      results[i] = failed
    elseif denied then
      results[i] = {before[i], within[i]}
    else
      local count = charge(i)
      results[i] = {count, count <= tonumber(ARGV[i * 4 - 1]) and 1 or 0}
    end
  end
  first = last + 1
end
return results
