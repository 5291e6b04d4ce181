-- What the scripts of presence share.
-- A member's record: lease, session that holds the place, number, number of its grace or 0, when that ends, when it joined,
-- bytes of its user + 1 or 0, user, body. The body is for the node, the rest for scripts.

local NEVER = 9007199254740991

local function channel(begin, name)
  local function key(letter) return begin .. letter .. ':' .. name end
  return {
    begin = begin, name = name, meta = key('m'), stream = key('s'), members = key('h'), order = key('z'),
    holders = key('k'), users = key('u'), graces = key('g'), pubsub = key('c'), index = begin .. 'n',
  }
end

local function pack(r)
  local user = r.user and #r.user + 1 or 0
  return struct.pack('>c16c14I8I8I8I8I2', r.lease, r.holder, r.number, r.grace, r.ends, r.joined, user)
    .. (r.user or '') .. r.body
end

local function load(k, place)
  local text = redis.call('HGET', k.members, place)
  if not text then return nil end
  local r, user, at = {}, nil, nil
  r.lease, r.holder, r.number, r.grace, r.ends, r.joined, user, at = struct.unpack('>c16c14I8I8I8I8I2', text)
  if user > 0 then
    r.user = text:sub(at, at + user - 2)
    at = at + user - 1
  end
  r.body = text:sub(at)
  return r
end

local function save(k, place, r)
  redis.call('HSET', k.members, place, pack(r))
end

local function of_lease(k, lease)
  return k.begin .. 'w:' .. lease
end

local function entry(k, place)
  return k.name .. '\0' .. place
end

local function in_grace(user)
  return struct.pack('>I2', #user) .. user
end

local function end_grace(k, place, r)
  if r.grace > 0 and r.user then
    redis.call('ZREM', k.graces, in_grace(r.user) .. struct.pack('>I8', r.grace) .. place)
  end
  r.grace, r.ends = 0, 0
end

local function announce(k, kind, place, r, now)
  local epoch = tonumber(redis.call('HGET', k.meta, 'e'))
  local sequence = redis.call('HINCRBY', k.meta, 's', 1)
  redis.call('SPUBLISH', k.pubsub, struct.pack('>BBI8I8I8I8I4', 1, kind, epoch, sequence, now, 0, 0)
    .. place .. struct.pack('>I8', r.joined) .. r.body)
end

-- Makes a member, and says so.
local function insert(k, place, lease, user, body, now)
  local number = redis.call('HINCRBY', k.meta, 'q', 1)
  local r = {
    lease = lease, holder = place, number = number, grace = 0, ends = 0, joined = now, user = user, body = body,
  }
  save(k, place, r)
  redis.call('ZADD', k.order, number, place)
  if user then
    redis.call('HINCRBY', k.users, user, 1)
  else
    redis.call('HINCRBY', k.meta, 'n', 1)
  end
  redis.call('SADD', of_lease(k, lease), entry(k, place))
  redis.call('HSET', k.meta, 'x', whole(NEVER))
  redis.call('PERSIST', k.meta)
  -- Names of the hub's own are nobody's to list.
  if k.name:sub(1, 1) ~= '~' then redis.call('ZADD', k.index, 0, k.name) end
  announce(k, 2, place, r, now)
end

-- Ends a membership, and says so.
local function remove(k, place, r, ttl, now)
  redis.call('HDEL', k.members, place)
  redis.call('ZREM', k.order, place)
  if r.holder ~= place then redis.call('HDEL', k.holders, r.holder) end
  end_grace(k, place, r)
  if not r.user then
    redis.call('HINCRBY', k.meta, 'n', -1)
  elseif redis.call('HINCRBY', k.users, r.user, -1) <= 0 then
    redis.call('HDEL', k.users, r.user)
  end
  redis.call('SREM', of_lease(k, r.lease), entry(k, place))
  announce(k, 3, place, r, now)
  if redis.call('ZCARD', k.order) == 0 then
    -- Marks keep the record longer: see mark.lua.
    local marked = tonumber(redis.call('HGET', k.meta, 'd') or 0)
    keep(k.meta, { x = 0 }, math.max(ttl, marked - now), now)
  end
end

-- The place that a session holds, and its record.
local function held(k, session)
  local place = redis.call('HGET', k.holders, session) or session
  local r = load(k, place)
  if r and r.holder == session then return place, r end
  return nil
end
