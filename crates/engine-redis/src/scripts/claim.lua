-- Claims the members of a lease that is over, for a while. KEYS claim; ARGV lease of who claims, for how long. Gives 1 or 0
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
