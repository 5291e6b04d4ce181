-- What several scripts share. Epochs stay text: a Lua number prints 14 digits. Other numbers stay below 2^53.

local function whole(number)
  return string.format('%.0f', number)
end

-- Milliseconds since 1970, by this server's clock: nodes' clocks need not agree.
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- What a channel's record says. `x` and `y` are when the record and the stream expire. They are set a quarter later than
-- asked for, so that not every use has to set them again.
local function open(meta, stream, fresh)
  local m = redis.call('HMGET', meta, 'e', 'o', 'c', 'f', 'a', 'x', 'y')
  if not m[1] then
    -- A stream may have outlived its record, if the server was told to evict: its offsets are of another epoch.
    redis.call('DEL', stream)
    redis.call('HSET', meta, 'e', fresh, 'o', 0)
    return { e = fresh, o = 0, c = 0, f = 0, a = 0, x = 0, y = 0 }
  end
  local function number(at) return tonumber(m[at] or 0) end
  return { e = m[1], o = number(2), c = number(3), f = number(4), a = number(5), x = number(6), y = number(7) }
end

-- Keeps the record for at least `ttl` from now. A channel with members has an `x` that is never reached.
local function keep(meta, m, ttl, now)
  if now + ttl > m.x then
    m.x = math.floor(now + ttl * 1.25)
    redis.call('HSET', meta, 'x', whole(m.x))
    redis.call('PEXPIREAT', meta, whole(m.x))
  end
end

-- Removes from the stream what is older than its channel keeps.
local function forget_old(stream, m, now)
  if m.a <= 0 then return end
  -- Mostly the very oldest is young enough.
  local count = 1
  while true do
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', count)
    local live
    for _, entry in ipairs(oldest) do
      local accepted = struct.unpack('>I8', entry[2][2], 19)
      if accepted + m.a > now then
        live = entry[1]
        break
      end
    end
    if live then
      if live ~= oldest[1][1] then redis.call('XTRIM', stream, 'MINID', '=', live) end
      return
    elseif #oldest < count then
      if #oldest > 0 then redis.call('DEL', stream) end
      return
    end
    count = 64
    local last = tonumber(oldest[#oldest][1]:match('%-(%d+)$'))
    redis.call('XTRIM', stream, 'MINID', '=', '0-' .. whole(last + 1))
  end
end
