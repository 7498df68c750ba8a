# mount_sysctlfs: the tree of sysctl(8) as files.
. ./lib.sh

server=mount_sysctlfs
have $server || server=sysctlfs
have $server || skip "this system has no mount_sysctlfs"
serve $server sysctl "$MNT"
same "$(cat "$MNT/kern/ostype")" "$(sysctl -n kern.ostype)" "kern.ostype"
ls -R "$MNT/vfs" >/dev/null || fail "cannot list"
unserve
