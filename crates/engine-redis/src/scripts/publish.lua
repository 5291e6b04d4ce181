-- Publishes: refuses, or numbers, keeps, announces, all at once.
-- KEYS record, stream, index of names, [id]
-- ARGV 1 fresh epoch, 2 record's ttl, 3 pub/sub channel, 4 name, 5 body, 6 payload bytes, 7 skip history,
--      8 count_max, 9 bytes_max, 10 age_max, 11 id's window, 12 expected epoch or nothing, 13 expected offset
-- Gives {0 published | 1 a duplicate | 2 not where expected, epoch, offset}
local meta, stream, id = KEYS[1], KEYS[2], KEYS[4]
local now = clock()
if id then
  local first = redis.call('GET', id)
  if first then
    local epoch, offset = first:match('^(%d+) (%d+)$')
    return { 1, epoch, offset }
  end
end
local m = open(meta, stream, ARGV[1])
keep(meta, m, tonumber(ARGV[2]), now)
if ARGV[12] ~= '' and (ARGV[12] ~= m.e or tonumber(ARGV[13]) ~= m.o) then
  return { 2, m.e, whole(m.o) }
end
local offset, length = 0, tonumber(ARGV[6])
local count_max, bytes_max, age_max = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local keeps = ARGV[7] == '0' and count_max > 0
if ARGV[7] == '0' then
  m.o = m.o + 1
  offset = m.o
end
if keeps then m.c = m.c + length end
local message = struct.pack('>BBI8I8I8I8I4', 1, 1, tonumber(m.e), offset, now, m.c, length) .. ARGV[5]
if keeps and length > bytes_max then
  -- Too large to be kept, and what was before it would not reach up to it.
  redis.call('DEL', stream)
  m.f, m.y = m.c, 0
elseif keeps then
  redis.call('XADD', stream, 'MAXLEN', '=', count_max, '0-' .. whole(offset), 'd', message)
  m.a = age_max
  -- `f` is at most where the oldest kept one begins, so this is seldom looked into in vain.
  while m.c - m.f > bytes_max do
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 16)
    local dropped
    for _, entry in ipairs(oldest) do
      local upto, bytes = struct.unpack('>I8I4', entry[2][2], 27)
      m.f = upto - bytes
      if m.c - m.f <= bytes_max then break end
      dropped = entry[1]
      m.f = upto
    end
    if dropped then
      local number = tonumber(dropped:match('%-(%d+)$'))
      redis.call('XTRIM', stream, 'MINID', '=', '0-' .. whole(number + 1))
    end
  end
  if now + age_max > m.y then
    m.y = math.floor(now + age_max * 1.25)
    redis.call('PEXPIREAT', stream, whole(m.y))
  end
  if offset % 32 == 0 then forget_old(stream, m, now) end
end
if id then
  redis.call('SET', id, m.e .. ' ' .. whole(m.o), 'PX', ARGV[11])
end
if offset > 0 then
  if keeps then
    redis.call('HSET', meta, 'o', whole(m.o), 'c', whole(m.c), 'f', whole(m.f), 'a', whole(m.a), 'y', whole(m.y))
  else
    redis.call('HSET', meta, 'o', whole(m.o))
  end
  if offset == 1 then redis.call('ZADD', KEYS[3], 0, ARGV[4]) end
end
redis.call('SPUBLISH', ARGV[3], message)
return { 0, m.e, whole(m.o) }
