-- Tells of channels of one partition where they stand; forgets the names of those that are no more.
-- KEYS index of names, then record and order of members of each channel; ARGV names
-- Gives {epoch or nothing, offset, members} for each
local answer = {}
for at, name in ipairs(ARGV) do
  local m = redis.call('HMGET', KEYS[2 * at], 'e', 'o')
  local members = redis.call('ZCARD', KEYS[2 * at + 1])
  if not m[1] then redis.call('ZREM', KEYS[1], name) end
  answer[at] = { m[1] or '', m[2] or '0', members }
end
return answer
