--[[ rights: which of these commands the calling user may not run. Read only: none of them is run.

Scripts have no way back: one whose user lacks a right stops half-way through its writes. So this is
asked once, before a process makes its first decision.

KEYS 1 account prefix   ARGV commands as words, like 'XADD stealer:{paper}:steals 1 1'
Reply {'denied', those that are denied, as given} ]]
--@include prelude
local denied = {'denied'}
for _, command in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(command, '%S+') do words[#words + 1] = word end
  if not redis.acl_check_cmd(unpack(words)) then denied[#denied + 1] = command end
end
return denied
