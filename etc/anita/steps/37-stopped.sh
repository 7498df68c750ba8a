# A server that is stopped: does the kernel go on with what it does for other
# file systems?
#: limit 300
. ./lib.sh

dtfs_program

# What the kernel's thread $1 waits for.
waits_for() {
	ps -axs -o lname,wchan | while read -r _name _why; do
		[ "$_name" = "$1" ] && echo "$_why"
	done
}

# Do these threads wait for nothing but work? Not every kernel has a vdrain.
all_go_on() {
	case $(waits_for ioflush),$(waits_for vdrain) in
	syncer, | syncer,vdrain) ;;
	*) return 1 ;;
	esac
}

must_go_on() {
	wait_until 20 all_go_on || fail "ioflush waits for" \
	    "$(waits_for ioflush), vdrain for $(waits_for vdrain)"
}

# Has the kernel free every vnode that nobody uses; see unload in lib.sh.
free_vnodes() {
	sysctl -w kern.maxvnodes=1 >/dev/null 2>&1
	echo freed >tmp/freed
}

hurry_syncer || fail "sysctl"
# In the foreground, so that the process is known.
serve dtfs -s dtfs "$MNT"
# An unmount would wait for it.
trap 'kill -CONT $_server; clean_up' EXIT
for name in 1 2 3 4 5 6 7 8; do
	echo hello >"$MNT/f$name" || fail "cannot write"
done
# The syncer does not come by sooner for the first time.
sleep 35
# dtfs wants to know of no file that is not used any more, so that this one stays dirty
# until the syncer comes.
echo more >>"$MNT/f1" || fail "cannot write"
kill -STOP $_server || fail "cannot stop the server"
sleep 6
must_go_on

rm -f tmp/freed
free_vnodes &
wait_until 30 test -e tmp/freed || fail "vdrain waits for $(waits_for vdrain)"
cp /bin/ls tmp/ls && cmp /bin/ls tmp/ls || fail "another file system"
rm -f tmp/ls tmp/freed
must_go_on

kill -CONT $_server
same "$(cat "$MNT/f1")" "hello
more" "what was written"
rm "$MNT"/f? || fail "cannot remove"
unserve
