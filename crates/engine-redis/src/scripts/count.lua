-- Counts members and users of channels of one partition. KEYS record, order and users of each channel
local answer = {}
for at = 1, #KEYS, 3 do
  local anonymous = tonumber(redis.call('HGET', KEYS[at], 'n') or 0)
  answer[#answer + 1] = redis.call('ZCARD', KEYS[at + 1])
  answer[#answer + 1] = redis.call('HLEN', KEYS[at + 2]) + anonymous
end
return answer
