-- Makes a session a member, or has it take a place. KEYS record
-- ARGV 1 fresh epoch, 2 record's ttl, 3 begin of keys, 4 name, 5 lease, 6 session, 7 whether it has a user, 8 user, 9 body,
-- 10 members at most or -1
-- Gives 0 unseen, 1 announced, -1 the lease is over, -2 there are as many members as allowed
local k = channel(ARGV[3], ARGV[4])
local lease, session, user = ARGV[5], ARGV[6], ARGV[7] == '1' and ARGV[8] or nil
if redis.call('EXISTS', k.begin .. 'd:' .. lease) == 1 then return -1 end
local now = clock()
keep(k.meta, open(k.meta, k.stream, ARGV[1]), tonumber(ARGV[2]), now)

local function hold(place, r)
  if r.holder ~= place and r.holder ~= session then redis.call('HDEL', k.holders, r.holder) end
  if session ~= place then redis.call('HSET', k.holders, session, place) end
  if r.lease ~= lease then
    redis.call('SREM', of_lease(k, r.lease), entry(k, place))
    redis.call('SADD', of_lease(k, lease), entry(k, place))
  end
  end_grace(k, place, r)
  r.holder, r.lease = session, lease
  save(k, place, r)
end

local place = redis.call('HGET', k.holders, session) or session
local r = load(k, place)
if r then
  local other, its_lease, was_in_grace = r.holder, r.lease, r.grace > 0
  hold(place, r)
  if other == session or was_in_grace then return 0 end
  -- The first session takes back the place that is shown under its id; who held it meanwhile is shown under its own.
  insert(k, other, its_lease, r.user, r.body, now)
  return 1
end
if user then
  local of_user = in_grace(user)
  local waiting = redis.call('ZRANGEBYLEX', k.graces, '[' .. of_user, '(' .. of_user .. '\255', 'LIMIT', 0, 1)[1]
  if waiting then
    place = waiting:sub(#of_user + 9)
    r = load(k, place)
    if r then
      hold(place, r)
      return 0
    end
    redis.call('ZREM', k.graces, waiting)
  end
end
local most = tonumber(ARGV[10])
if most >= 0 and redis.call('ZCARD', k.order) >= most then return -2 end
insert(k, session, lease, user, ARGV[9], now)
return 1
