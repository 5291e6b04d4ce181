-- Ends a membership whose grace is out, unless it was taken up again. KEYS record
-- ARGV 1 record's ttl, 2 begin of keys, 3 name, 4 place, 5 number of the grace
local k = channel(ARGV[2], ARGV[3])
local r = load(k, ARGV[4])
if not r or r.grace ~= tonumber(ARGV[5]) then return 0 end
remove(k, ARGV[4], r, tonumber(ARGV[1]), clock())
return 1
