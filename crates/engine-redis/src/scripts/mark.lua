-- A user's mark in a durable channel. KEYS record, stream, mark
-- ARGV 1 fresh epoch, 2 record's ttl, 3 mark's ttl, 4 `mark` or `ack`, 5 epoch or nothing and 6 offset of a position
-- `mark` tells where it is, and makes it, at the position, else (or if that is beyond it) where the channel stands.
-- `ack` moves it on to the position, never back, and not to one that the channel has not had.
-- Gives {epoch, offset, whether it was made}
local meta, key = KEYS[1], KEYS[3]
local now = clock()
local m = open(meta, KEYS[2], ARGV[1])
keep(meta, m, tonumber(ARGV[2]), now)
-- `d`: when the last mark expires. The last member to leave does not shorten the record's life below it.
local expires = now + tonumber(ARGV[3])
if expires > tonumber(redis.call('HGET', meta, 'd') or 0) then
  redis.call('HSET', meta, 'd', whole(now + tonumber(ARGV[3]) * 1.25))
end
local has_had = ARGV[5] == m.e and tonumber(ARGV[6]) <= m.o
local epoch, offset
local text = redis.call('GET', key)
if text then epoch, offset = text:match('^(%d+) (%d+)$') end
local made = 0
if ARGV[4] == 'ack' then
  if not has_had then return { epoch or m.e, offset or whole(m.o), 0 } end
  if epoch ~= m.e or tonumber(offset) < tonumber(ARGV[6]) then epoch, offset = m.e, ARGV[6] end
elseif not epoch then
  made, epoch, offset = 1, m.e, whole(m.o)
  if has_had or (ARGV[5] ~= '' and ARGV[5] ~= m.e) then epoch, offset = ARGV[5], ARGV[6] end
end
redis.call('SET', key, epoch .. ' ' .. offset, 'PX', ARGV[3])
return { epoch, offset, made }
