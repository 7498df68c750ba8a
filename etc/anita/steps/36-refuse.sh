# dmesgfs, an example for librefuse.
#: limit 120
. ./lib.sh

program dmesgfs /usr/share/examples/refuse/dmesgfs -lrefuse -lpuffs -lutil
serve dmesgfs "$MNT"
ls -la "$MNT" || fail "cannot list"
unserve
