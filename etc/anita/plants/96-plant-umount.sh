# An unmount waits for a server that never answers.
#: limit 30
. ./lib.sh

dtfs_program
dtfs -s dtfs "$MNT" &
wait_until 20 is_mounted || fail "dtfs does not mount"
kill -STOP $!
echo "umount of a server that does not answer"
umount "$MNT"
fail "umount ended with $?"
