-- Names of a partition's channels, sorted. KEYS index; ARGV from, to, how many
return redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
