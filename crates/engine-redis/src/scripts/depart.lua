-- A node that has shut down is not among the nodes any more. KEYS nodes; ARGV node
return redis.call('ZREM', KEYS[1], ARGV[1])
