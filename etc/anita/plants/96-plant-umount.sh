# An unmount waits for a server that never answers.
#: limit 30
. ./lib.sh

program dtfs /usr/share/examples/puffs/dtfs -lpuffs -lutil
dtfs -s dtfs "$MNT" &
wait_until 20 is_mounted || fail "dtfs does not mount"
kill -STOP $!
echo "umount of a server that does not answer"
umount "$MNT"
fail "umount ended with $?"
