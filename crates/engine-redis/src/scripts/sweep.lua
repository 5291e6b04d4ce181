-- Has members of a lease that is over leave, some at a time. KEYS members of the lease, that it is over
-- ARGV 1 record's ttl, 2 begin of keys, 3 lease that is over, 4 lease of who sees to it, 5 how many
-- Members within a grace stay for the rest of it, under the other lease.
-- Gives {how many are left, {name, place, number of the grace, rest of it, ...}}
local now, left = clock(), {}
redis.call('SET', KEYS[2], '1', 'PX', 3600000)
for _, found in ipairs(redis.call('SRANDMEMBER', KEYS[1], ARGV[5])) do
  local name, place = found:match('^(%Z+)%z(.*)$')
  local k = channel(ARGV[2], name)
  local r = load(k, place)
  if not r or r.lease ~= ARGV[3] then
    redis.call('SREM', KEYS[1], found)
  elseif r.grace > 0 and r.ends > now then
    redis.call('SREM', KEYS[1], found)
    r.lease = ARGV[4]
    save(k, place, r)
    redis.call('SADD', of_lease(k, r.lease), found)
    for _, part in ipairs({ name, place, whole(r.grace), whole(r.ends - now) }) do left[#left + 1] = part end
  else
    remove(k, place, r, tonumber(ARGV[1]), now)
  end
end
return { redis.call('SCARD', KEYS[1]), left }
