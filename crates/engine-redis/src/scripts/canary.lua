-- Proves that this server takes writes and delivers. A demoted primary refuses the write. KEYS canary; ARGV number
redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)
return redis.call('SPUBLISH', KEYS[1], ARGV[1])
