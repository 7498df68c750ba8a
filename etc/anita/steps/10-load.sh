# Loads putter and the module.
#: each-boot
#: limit 60
. ./lib.sh

# What is in the kernel, or was loaded for a mount at boot, has to go first.
modunload puffs 2>/dev/null
[ -n "$(in_kernel putter)" ] || modload "$PUTTER" 2>tmp/putter || {
	cat tmp/putter
	fail "cannot load putter"
}
load || fail "cannot load $MODULE (is puffs in this kernel?)"
modstat
[ -c /dev/puffs ] || fail "there is no /dev/puffs"
