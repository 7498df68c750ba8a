# NetBSD's own tests of puffs. They run on a rump kernel.
#: output results
#: limit 3600
. ./lib.sh

enter_tests /usr/tests/fs/puffs
for test in t_*; do
	atf "$test" "*"
done
