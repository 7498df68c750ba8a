# NetBSD's own tests of puffs. They run on a rump kernel.
#: output results
#: limit 3600
. ./lib.sh

SHARE=$PWD
cd /usr/tests/fs/puffs 2>/dev/null || skip "this system has no /usr/tests/fs/puffs"
set -- t_*
[ -x "$1" ] || skip "there are no tests in /usr/tests/fs/puffs"
if [ "$LIBRARY" = ours ]; then
	[ -d "$SHARE/rump" ] ||
	    skip "it runs on librumpfs_syspuffs, and ours was not handed over (--rump)"
	export LD_LIBRARY_PATH="$SHARE/rump"
fi
for test in t_*; do
	atf "$test" "*"
done
