-- Reads history. KEYS record, stream
-- ARGV 1 fresh epoch, 2 record's ttl, 3 `top`, `after`, `newest`, `oldest` or `before`, 4 offset, 5 count, 6 epoch of the position
-- Gives {epoch, offset, {entry, ...}}; `newest` and `before` newest first
local meta, stream = KEYS[1], KEYS[2]
local now = clock()
local m = open(meta, stream, ARGV[1])
keep(meta, m, tonumber(ARGV[2]), now)
local how, offset, count = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local found = {}
if how ~= 'top' then
  forget_old(stream, m, now)
  if how == 'after' then
    if ARGV[6] == m.e and offset <= m.o then
      found = redis.call('XRANGE', stream, '(0-' .. whole(offset), '+', 'COUNT', count)
    end
  elseif how == 'oldest' then
    found = redis.call('XRANGE', stream, '-', '+', 'COUNT', count)
  elseif how == 'newest' then
    found = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', count)
  elseif offset > 1 then
    found = redis.call('XREVRANGE', stream, '(0-' .. whole(offset), '-', 'COUNT', count)
  end
end
local entries = {}
for at, entry in ipairs(found) do entries[at] = entry[2][2] end
return { m.e, whole(m.o), entries }
