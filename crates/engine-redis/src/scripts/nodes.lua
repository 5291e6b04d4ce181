-- The nodes that are alive. KEYS nodes
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(clock()))
return redis.call('ZRANGE', KEYS[1], 0, -1)
