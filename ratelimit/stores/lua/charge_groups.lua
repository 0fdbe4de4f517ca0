-- Count groups of hits: every hit of a group, or where one would go over its limit, none of them or only such.
--
-- Why a script: between looking at the counters and charging them nobody else may come.
--
-- KEYS[i]         the counter of hit i; hits of one group stand side by side
-- ARGV[5i-4]      amount, in hits: > 0 adds, 0 looks, < 0 takes back (never below 0; creates nothing)
-- ARGV[5i-3]      expiry in seconds, set when the hit creates the counter
-- ARGV[5i-2]      the limit, in hits
-- ARGV[5i-1]      the group's number. > 0: where a hit would go over, none is charged. < 0: where one would go over, or
--                 is over already (a look), only those that do are charged, each seen by itself; the
--                 others are shown the count at their place
-- ARGV[5i]        1 if going over concerns the others of its group, 0 if not
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
  local key, amount = KEYS[i], tonumber(ARGV[i * 5 - 4])
  local count = held(key)
  if amount > 0 then
    local created = redis.call('EXISTS', key) == 0
    count = math.min(most, count + amount)
    redis.call('SET', key, string.format('%.0f', count), 'KEEPTTL')
    if created then
      redis.call('EXPIRE', key, ARGV[i * 5 - 3])
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
  while last < #KEYS and ARGV[(last + 1) * 5 - 1] == ARGV[first * 5 - 1] do
    last = last + 1
  end
  local only_over = tonumber(ARGV[first * 5 - 1]) < 0
  local reached, before, within, denied, failed = {}, {}, {}, false, nil
  for i = first, last do
    local count, failure = held(KEYS[i])
    if failure then
      failed = failure
      break
    end
    local amount = tonumber(ARGV[i * 5 - 4])
    before[i] = count
    local after = (not only_over and reached[KEYS[i]] or count) + amount
    reached[KEYS[i]] = math.max(0, after)
    within[i] = after <= tonumber(ARGV[i * 5 - 2]) and 1 or 0
    local concerns = amount > 0 or (only_over and amount == 0)
    denied = denied or (concerns and within[i] == 0 and ARGV[i * 5] == '1')
  end
  for i = first, last do
    if failed then
      results[i] = failed
    elseif denied and not (only_over and within[i] == 0) then
      local count = only_over and held(KEYS[i]) or before[i]
      if only_over then
        within[i] = count <= tonumber(ARGV[i * 5 - 2]) and 1 or 0
      end
      results[i] = {count, within[i]}
    else
      local count = charge(i)
      results[i] = {count, count <= tonumber(ARGV[i * 5 - 2]) and 1 or 0}
    end
  end
  first = last + 1
end
return results
