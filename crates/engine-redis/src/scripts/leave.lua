-- Ends the membership that a session holds, or starts its grace. KEYS record
-- ARGV 1 record's ttl, 2 begin of keys, 3 name, 4 session, 5 grace or 0
-- Gives {0 nothing to do | 1 in a grace | 2 gone, place, number of the grace}
local k = channel(ARGV[2], ARGV[3])
local place, r = held(k, ARGV[4])
if not place then return { 0 } end
local now, grace = clock(), tonumber(ARGV[5])
if grace == 0 then
  remove(k, place, r, tonumber(ARGV[1]), now)
  return { 2 }
end
if r.grace > 0 then return { 0 } end
r.grace, r.ends = redis.call('HINCRBY', k.meta, 'q', 1), now + grace
save(k, place, r)
if r.user then
  redis.call('ZADD', k.graces, 0, in_grace(r.user) .. struct.pack('>I8', r.grace) .. place)
end
return { 1, place, r.grace }
