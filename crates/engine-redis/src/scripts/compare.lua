-- Tells where channels stand, and gives a channel a new epoch where what a node has seen of it is not in it: then a
-- failover or a crash has lost the end of its history, and its offsets would be dealt out a second time.
-- KEYS record and stream of each channel
-- ARGV 1 record's ttl, then for each channel a fresh epoch, and epoch, offset and time of what was seen last (0: not known)
-- Gives {epoch or nothing, offset} for each
local now, ttl = clock(), tonumber(ARGV[1])
local answer = {}
for at = 1, #KEYS / 2 do
  local meta, stream = KEYS[2 * at - 1], KEYS[2 * at]
  local fresh, epoch = ARGV[4 * at - 2], ARGV[4 * at - 1]
  local offset, time = tonumber(ARGV[4 * at]), tonumber(ARGV[4 * at + 1])
  if redis.call('EXISTS', meta) == 0 then
    answer[at] = { '', '0' }
  else
    local m = open(meta, stream, fresh)
    keep(meta, m, ttl, now)
    if m.e == epoch and offset > 0 then
      local lost = offset > m.o
      if not lost and time > 0 then
        local id = '0-' .. whole(offset)
        local entry = redis.call('XRANGE', stream, id, id)[1]
        lost = entry and struct.unpack('>I8', entry[2][2], 19) ~= time
      end
      if lost then
        redis.call('DEL', stream)
        redis.call('HSET', meta, 'e', fresh, 'o', 0, 'c', 0, 'f', 0, 'y', 0, 's', 0)
        m.e, m.o = fresh, 0
      end
    end
    answer[at] = { m.e, whole(m.o) }
  end
end
return answer
