-- Count hits by the generic cell rate algorithm: each hit fills its counter, which drains evenly, `limit` hits a window.
--
-- Why a script: nobody may come between the look at a counter and its charge.
--
-- KEYS[i]         the counter of hit i; a key may come more than once
-- ARGV[4i-3]      amount, in hits: > 0 is charged if it fits, 0 looks, < 0 takes back (never below 0; creates nothing)
-- ARGV[4i-2]      the limit: hits for a window, and the burst
-- ARGV[4i-1]      the window's length in milliseconds
-- ARGV[4i]        the moment in unix milliseconds
-- returns         for each hit, in order: {hits in use after it, rounded up, 1 if it is within its limit, else 0,
--                 milliseconds until nothing is in use, rounded up}, or an error of its own
--
-- The value is "<level> <the moment of the level in ms>". A hit is `window` units of the level, and each millisecond
-- drains `limit` of them: so both are whole numbers, exact while limit * window stays below 2^53. It expires a second
-- after the level is down to 0, since the clocks of instances differ.
local results = {}

local function whole(number)
  return string.format('%.0f', number)
end

for i = 1, #KEYS do
  local key = KEYS[i]
  local amount, limit = tonumber(ARGV[i * 4 - 3]), tonumber(ARGV[i * 4 - 2])
  local window, now = tonumber(ARGV[i * 4 - 1]), tonumber(ARGV[i * 4])
  local held = redis.pcall('GET', key)
  local level, last
  if type(held) == 'string' then
    level, last = held:match('^(%d+) (%d+)$')
  end
  if type(held) == 'table' then
    results[i] = held
  elseif held and not level then
    results[i] = redis.error_reply('ERR value is not a level')
  else
    level, last = tonumber(level or 0), tonumber(last or now)
    now = math.max(now, last)
    level = math.max(0, level - (now - last) * limit)
    local allowed = level + math.max(0, amount) * window <= limit * window
    local failed
    if amount ~= 0 and (amount < 0 and level > 0 or amount > 0 and allowed) then
      level = math.max(0, level + amount * window)
      local stays = (limit > 0 and math.ceil(level / limit) or window) + 1000
      local set = redis.pcall('SET', key, whole(level) .. ' ' .. whole(now), 'PX', whole(stays))
      failed = type(set) == 'table' and set.err and set
    end
    if amount < 0 then
      allowed = level <= limit * window
    end
    local reset = limit > 0 and math.ceil(level / limit) or 0
    results[i] = failed or {math.ceil(level / window), allowed and 1 or 0, reset}
  end
end
return results
