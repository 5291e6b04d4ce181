-- Hands a message to a node. Gives how many heard it: 1, or 0. KEYS the node's inbox; ARGV message
return redis.call('SPUBLISH', KEYS[1], ARGV[1])
