# Of NetBSD's tests of all file systems those on puffs, on a rump kernel.
#: output results
#: limit 3600
. ./lib.sh

SHARE=$PWD
cd /usr/tests/fs/vfs 2>/dev/null || skip "this system has no /usr/tests/fs/vfs"
set -- t_*
[ -x "$1" ] || skip "there are no tests in /usr/tests/fs/vfs"
if [ "$LIBRARY" = ours ]; then
	[ -d "$SHARE/rump" ] ||
	    skip "it runs on librumpfs_syspuffs, and ours was not handed over (--rump)"
	export LD_LIBRARY_PATH="$SHARE/rump"
fi
for test in t_*; do
	atf "$test" "puffs_*" "p2k_*"
done
