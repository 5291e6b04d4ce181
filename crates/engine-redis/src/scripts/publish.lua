-- Publishes many, each channel's in their order: each is refused, or numbered and kept. What a channel has got is then
-- written to its record and announced, once for all of them.
-- KEYS record, stream and index of names of each channel, then the key of each id
-- ARGV 1 fresh epoch, 2 how many channels; for each channel its pub/sub channel, name and how many publications; for each of these
--      head and body
-- A head is record's ttl, payload bytes, count_max, bytes_max, age_max, id's window, expected epoch (0: none is) and offset,
-- and a byte: 1 it skips history, 2 it has an id, 3 both.
-- Gives 17 bytes for each, in this order: 0 published, 1 a duplicate, 2 not where expected, 3 refused; epoch; offset. Then the
-- words in which those were refused.
local now, fresh = clock(), ARGV[1]
local fates, refusals = {}, {}

-- What is wrong with one channel's keys concerns nobody else. Anything else (this is no primary, it has no memory left)
-- concerns all, and shows at the first write of all: so nothing has happened yet.
local function refusal(fault)
  local text = type(fault) == 'table' and fault.err or tostring(fault)
  local code = text:match('^-?(%S*)')
  if code ~= 'ERR' and code ~= 'WRONGTYPE' then error(fault, 0) end
  return text
end

-- Removes the oldest ones until no more than `bytes_max` are kept.
local function forget_excess(stream, m, bytes_max)
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
end

-- Publishes to one channel what `of` gives, so many times: head, body, and the key of the id if it has one.
local function publish(meta, stream, index, pubsub, name, count, of)
  local m, was, epoch, bytes_max, is_time
  local messages = {}

  local function one(head, body, id)
    local ttl, length, count_max, most, age_max, window, expected, expected_offset, flags =
      struct.unpack('>I8I4I4I8I8I8I8I8B', head)
    if id then
      local first = redis.call('GET', id)
      if first then
        local of_first, offset = first:match('^(%d+) (%d+)$')
        return 1, tonumber(of_first), tonumber(offset)
      end
    end
    if not m then
      m = open(meta, stream, fresh)
      was = { o = m.o, c = m.c, f = m.f, a = m.a, y = m.y }
      epoch = tonumber(m.e)
    end
    keep(meta, m, ttl, now)
    if expected > 0 and (expected ~= epoch or expected_offset ~= m.o) then return 2, epoch, m.o end
    local skips = flags % 2 == 1
    local offset = skips and 0 or m.o + 1
    local keeps = not skips and count_max > 0
    local upto = keeps and m.c + length or m.c
    local message = struct.pack('>BBI8I8I8I8I4', 1, 1, epoch, offset, now, upto, length) .. body
    if keeps and length > most then
      -- Too large to be kept, and what was before it would not reach up to it.
      redis.call('DEL', stream)
      m.f, m.y, bytes_max = upto, 0, nil
    elseif keeps then
      redis.call('XADD', stream, 'MAXLEN', '=', count_max, '0-' .. whole(offset), 'd', message)
      m.a, bytes_max = age_max, most
    end
    if not skips then m.o, m.c = offset, upto end
    if keeps and bytes_max then
      is_time = is_time or offset % 32 == 0
      if now + age_max > m.y then
        m.y = math.floor(now + age_max * 1.25)
        redis.call('PEXPIREAT', stream, whole(m.y))
      end
    end
    if id then redis.call('SET', id, m.e .. ' ' .. whole(m.o), 'PX', window) end
    messages[#messages + 1] = message
    return 0, epoch, m.o
  end

  for _ = 1, count do
    local done, fate, its_epoch, offset = pcall(one, of())
    if not done then
      refusals[#refusals + 1] = refusal(fate)
      fate, its_epoch, offset = 3, 0, 0
    end
    fates[#fates + 1] = struct.pack('>BI8I8', fate, its_epoch, offset)
  end
  if #messages == 0 then return end
  if bytes_max then forget_excess(stream, m, bytes_max) end
  if is_time then forget_old(stream, m, now) end
  local changes = {}
  for field, value in pairs(was) do
    if m[field] ~= value then
      changes[#changes + 1] = field
      changes[#changes + 1] = whole(m[field])
    end
  end
  if #changes > 0 then redis.call('HSET', meta, unpack(changes)) end
  if was.o == 0 and m.o > 0 then redis.call('ZADD', index, 0, name) end
  redis.call('SPUBLISH', pubsub, #messages == 1 and messages[1] or table.concat(messages))
end

local channels = tonumber(ARGV[2])
local key, argument = 3 * channels, 2
local function next_one()
  local head, body, id = ARGV[argument + 1], ARGV[argument + 2], nil
  argument = argument + 2
  if head:byte(-1) >= 2 then
    key = key + 1
    id = KEYS[key]
  end
  return head, body, id
end
for at = 0, channels - 1 do
  local pubsub, name, count = ARGV[argument + 1], ARGV[argument + 2], tonumber(ARGV[argument + 3])
  argument = argument + 3
  publish(KEYS[3 * at + 1], KEYS[3 * at + 2], KEYS[3 * at + 3], pubsub, name, count, next_one)
end
return { table.concat(fates), unpack(refusals) }
