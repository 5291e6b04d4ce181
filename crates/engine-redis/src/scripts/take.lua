-- Takes one of what something is allowed (GCRA, as in core's `rate.rs`). KEYS the time at which it would have used up nothing
-- ARGV 1 what one costs, 2 how far ahead of the time it may be; all in microseconds. Gives 0, or how long to wait
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local step, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
if at - now > tolerance then return at - now - tolerance end
local next = at + step
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
return 0
