-- Gives a claim up; with ARGV 2 `1` its lease has no member left and is forgotten. KEYS leases, claim; ARGV 1 lease
if ARGV[2] == '1' then redis.call('ZREM', KEYS[1], ARGV[1]) end
return redis.call('DEL', KEYS[2])
