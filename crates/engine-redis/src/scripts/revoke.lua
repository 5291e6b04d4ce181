-- Keeps a revocation, or makes the one of the same tokens reach further. Field `v` names what is kept, and a change gives it a name
-- that it never had: a count would come to the same number again after a failover that has lost a change.
-- KEYS revocations; ARGV 1 which tokens, 2 issued before, 3 kept until, 4 how many are kept at most, 5 a fresh name for `v`
-- Gives 1, or 0 when there are too many
local before, ends = tonumber(ARGV[2]), tonumber(ARGV[3])
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old then
  local b, u = old:match('^(%d+) (%d+)$')
  before, ends = math.max(before, tonumber(b)), math.max(ends, tonumber(u))
elseif redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then
  local now, all = clock(), redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local kept = all[i + 1]:match(' (%d+)$')
    if kept and tonumber(kept) <= now then redis.call('HDEL', KEYS[1], all[i]) end
  end
  if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then return 0 end
end
local new = whole(before) .. ' ' .. whole(ends)
if new ~= old then redis.call('HSET', KEYS[1], ARGV[1], new, 'v', ARGV[5]) end
return 1
