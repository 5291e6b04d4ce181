-- What is revoked, if it is not what the caller knows. KEYS revocations; ARGV version known
-- Gives {version} or {version, {field, value, ...}}
local version = redis.call('HGET', KEYS[1], 'v') or '0'
if version == ARGV[1] then return { version } end
return { version, redis.call('HGETALL', KEYS[1]) }
