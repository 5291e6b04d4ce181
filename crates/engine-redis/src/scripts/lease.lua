-- Takes or renews a lease, and the node's place among the nodes that are alive.
-- KEYS leases, nodes; ARGV 1 lease, 2 how long, 3 whether it was held before, 4 node
-- Gives {1} when it is over, else {0, {leases that are over, ...}}
local now = clock()
local ends = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0)
if ARGV[3] == '1' and ends <= now then return { 1 } end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), ARGV[4])
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', 0, 16)
return { 0, over }
