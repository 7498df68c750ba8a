# Loads the module, works with it and unloads it, a hundred times: does the
# kernel lose memory?
#: output pools
#: limit 3600
. ./lib.sh

HALF=50 all_tries=0
dtfs_program

once() {
	load || fail "round $round: cannot load"
	serve dtfs dtfs "$MNT"
	work_on "$MNT"
	unserve
	unload
	all_tries=$((all_tries + _tries))
}

rounds() {
	round=1
	while [ $round -le "$1" ]; do
		once
		round=$((round + 1))
	done
}

listing() {
	echo "== $*"
	sync
	vmstat -m && vmstat -s || fail "vmstat"
}

unload
# Caches get their size.
rounds 20
listing start $HALF
rounds $HALF
listing half
rounds $HALF
listing end
echo "modunload was refused $all_tries times"
load || fail "cannot load it again"
