-- Count hits in sliding windows: the window now, and the one before by the share of it that is still within reach.
--
-- Why a script: nobody may come between the look at a counter and its charge.
--
-- KEYS[i]         the counter of hit i; a key may come more than once
-- ARGV[4i-3]      amount, in hits: > 0 is charged if it fits, 0 looks, < 0 takes back (never below 0; creates nothing)
-- ARGV[4i-2]      the limit, in hits for a window
-- ARGV[4i-1]      the window's length in milliseconds
-- ARGV[4i]        the moment in unix milliseconds
-- returns         for each hit, in order: {hits in use after it, 1 if it is within its limit, else 0, milliseconds until
--                 nothing is in use}, or an error of its own
--
-- The value is "<window start in ms> <hits in that window> <hits in the one before>". It expires a second after the
-- last moment at which it tells anything, since the clocks of instances differ.
local most = 9007199254740991
local results = {}

local function whole(number)
  return string.format('%.0f', number)
end

for i = 1, #KEYS do
  local key = KEYS[i]
  local amount, limit = tonumber(ARGV[i * 4 - 3]), tonumber(ARGV[i * 4 - 2])
  local window, now = tonumber(ARGV[i * 4 - 1]), tonumber(ARGV[i * 4])
  local held = redis.pcall('GET', key)
  local start, current, before
  if type(held) == 'string' then
    start, current, before = held:match('^(%d+) (%d+) (%d+)$')
  end
  if type(held) == 'table' then
    results[i] = held
  elseif held and not start then
    results[i] = redis.error_reply('ERR value is not a sliding window')
  else
    local began = now - now % window
    start, current, before = tonumber(start or began), tonumber(current or 0), tonumber(before or 0)
    if start > began then
      now = math.max(now, start)
    elseif start == began - window then
      start, current, before = began, 0, current
    elseif start < began then
      start, current, before = began, 0, 0
    end
    local left = window - (now - start)
    local used = current + math.ceil(before * left / window)
    local allowed = used + math.max(0, amount) <= limit
    local failed
    if amount ~= 0 and (amount < 0 and current + before > 0 or amount > 0 and allowed) then
      local after = current + amount
      current = math.min(most, math.max(0, after))
      before = math.max(0, before + math.min(0, after))
      used = current + math.ceil(before * left / window)
      local stays = math.max(1, 2 * window - (now - start)) + 1000
      local value = whole(start) .. ' ' .. whole(current) .. ' ' .. whole(before)
      local set = redis.pcall('SET', key, value, 'PX', whole(stays))
      failed = type(set) == 'table' and set.err and set
    end
    local reset = current > 0 and left + window or before > 0 and left or 0
    if amount < 0 then
      allowed = used <= limit
    end
    results[i] = failed or {used, allowed and 1 or 0, reset}
  end
end
return results
