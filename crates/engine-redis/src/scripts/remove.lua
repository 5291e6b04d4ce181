-- Removes a channel's history; offsets go on. KEYS record, stream
redis.call('DEL', KEYS[2])
local c = redis.call('HGET', KEYS[1], 'c')
if c then redis.call('HSET', KEYS[1], 'f', c, 'y', 0) end
return 1
