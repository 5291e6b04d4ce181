-- Lists members in the order of their joining. KEYS record
-- ARGV 1 fresh epoch, 2 record's ttl, 3 begin of keys, 4 name, 5 number after which, 6 how many
-- Gives {epoch, sequence, highest number, members, users, {number, place, lease, joined, body, ...}}
local k = channel(ARGV[3], ARGV[4])
keep(k.meta, open(k.meta, k.stream, ARGV[1]), tonumber(ARGV[2]), clock())
local m = redis.call('HMGET', k.meta, 'e', 's', 'q', 'n')
local found = {}
if ARGV[6] ~= '0' then
  local places = redis.call('ZRANGEBYSCORE', k.order, '(' .. ARGV[5], '+inf', 'LIMIT', 0, ARGV[6])
  for _, place in ipairs(places) do
    local r = load(k, place)
    if r then
      for _, part in ipairs({ whole(r.number), place, r.lease, whole(r.joined), r.body }) do
        found[#found + 1] = part
      end
    end
  end
end
local users = redis.call('HLEN', k.users) + tonumber(m[4] or 0)
return { m[1], m[2] or '0', m[3] or '0', redis.call('ZCARD', k.order), users, found }
