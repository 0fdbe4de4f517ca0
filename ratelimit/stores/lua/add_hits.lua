-- Count one command of hits: each key by its amount, in order.
--
-- Why a script: the count and the expiry of a new counter are set in one step, so no counter is ever left without an
-- expiry, and many hits cost one command.
--
-- KEYS[i]         the counter of hit i; a key may come more than once
-- ARGV[2i-1]      amount, in hits: > 0 adds, 0 looks, < 0 takes back (never below 0; creates nothing)
-- ARGV[2i]        expiry in seconds, set when the hit creates the counter
-- returns         for each hit, in order: the count after it, or an error of its own (a key of another type, a replica)
--
-- A count saturates at 2^53 - 1: Lua's numbers are doubles, exact below 2^53.
local most = 9007199254740991
local results = {}
for i = 1, #KEYS do
  local key = KEYS[i]
  local raw = ARGV[i * 2 - 1]
  local amount = tonumber(raw)
  if amount > 0 then
    local count = redis.pcall('INCRBY', key, raw)
    if type(count) == 'number' then
      if count == amount then
        -- It was created, or a refund had brought it to 0: only the first has no expiry yet.
        if redis.call('TTL', key) < 0 then
          redis.call('EXPIRE', key, ARGV[i * 2])
        end
      elseif count > most then
        redis.call('SET', key, '9007199254740991', 'KEEPTTL')
        count = most
      end
    end
    results[i] = count
  else
    local held = redis.pcall('GET', key)
    if type(held) == 'table' then
      results[i] = held
    else
      local count = tonumber(held or '0')
      if count == nil then
        results[i] = redis.error_reply('ERR value is not an integer or out of range')
      elseif amount < 0 and count > 0 then
        count = math.max(0, count + amount)
        local set = redis.pcall('SET', key, string.format('%.0f', count), 'KEEPTTL')
        results[i] = (type(set) == 'table' and set.err) and set or count
      else
        results[i] = count
      end
    end
  end
end
return results
