# pnullfs: another directory, as it is.
#: limit 120
. ./lib.sh

program pnullfs share/examples/puffs/pnullfs -lpuffs -lutil
rm -rf tmp/low
mkdir tmp/low
cp /bin/ls tmp/low/
serve pnullfs "$PWD/tmp/low" "$MNT"
cmp /bin/ls "$MNT/ls" || fail "a file differs"
rm "$MNT/ls" || fail "cannot remove"
[ -e tmp/low/ls ] && fail "what was removed is still there"
work_on "$MNT"
unserve
