# Of NetBSD's tests of all file systems those on puffs, on a rump kernel.
#: output results
#: limit 3600
. ./lib.sh

enter_tests /usr/tests/fs/vfs
for test in t_*; do
	atf "$test" "puffs_*" "p2k_*"
done
