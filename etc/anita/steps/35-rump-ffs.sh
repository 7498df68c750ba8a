# rump_ffs: an FFS of a rump kernel, by p2k(3).
#: limit 300
. ./lib.sh

have rump_ffs || skip "this system has no rump_ffs"
newfs -F -s 16m "$PWD/tmp/ffs.img" >/dev/null || fail "newfs"
serve rump_ffs "$PWD/tmp/ffs.img" "$MNT"
work_on "$MNT"
unserve
serve rump_ffs "$PWD/tmp/ffs.img" "$MNT"
unserve
