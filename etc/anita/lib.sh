# Functions for the steps, which read this first. A step is run by sh in the
# directory of what was handed over. It uses what every NetBSD has in / and
# /usr/bin, and leaves nothing mounted.
#
# env.sh says what the driver knows: LIBRARY, "ours" or "stock"; MODULE and
# PUTTER, what modload(8) is to load.

. ./env.sh
PATH=$PWD/bin:/sbin:/usr/sbin:/bin:/usr/bin:/usr/pkg/bin
MNT=$PWD/mnt
mkdir -p "$MNT" tmp

# The next step is not to find what is left of one that failed.
clean_up() {
	is_unmounted || umount -f -R "$MNT"
}
trap clean_up EXIT

# The step cannot be done here.
skip() {
	echo "skip: $*"
	exit 77
}

fail() {
	echo "fail: $*"
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# Makes the server $1 runnable if the system brings only its source: in the
# directory $2 of NetBSD's tree, to be compiled with the arguments $3...
# NetBSD installs no examples for libpuffs and librefuse.
program() {
	have "$1" && return
	_name=$1 _dir=/usr/src/$2
	shift 2
	[ -d "$_dir" ] || skip "this system has neither $_name nor $_dir"
	have cc || skip "this system has no $_name and no compiler for $_dir"
	cc -o "bin/$_name" "$_dir"/*.c "$@" >tmp/cc.log 2>&1 || {
		cat tmp/cc.log
		skip "$_dir does not compile"
	}
}

# Makes dtfs runnable, which NetBSD installs for its tests.
dtfs_program() {
	have dtfs && return
	_test=/usr/tests/fs/puffs/h_dtfs/h_dtfs
	if [ -x $_test ]; then
		cp $_test bin/dtfs
	else
		program dtfs tests/fs/puffs/h_dtfs -lpuffs -lutil
	fi
}

# Is the module $1 in the kernel?
in_kernel() {
	modstat | while read -r _name _rest; do
		[ "$_name" = "$1" ] && echo yes
	done
}

mounted() {
	mount | while read -r _what _on _dir _rest; do
		[ "$_dir" = "$MNT" ] && echo yes
	done
}

# Waits for up to $1 seconds until the command $2... succeeds.
wait_until() {
	_left=$(($1 * 5))
	shift
	until "$@"; do
		_left=$((_left - 1))
		[ "$_left" -gt 0 ] || return 1
		sleep 0.2
	done
}

is_mounted() {
	[ -n "$(mounted)" ]
}

is_unmounted() {
	[ -z "$(mounted)" ]
}

# Has a server mount on $MNT: the command $1..., which may go into the background
# by itself.
serve() {
	"$@" &
	_server=$!
	wait_until 20 is_mounted || fail "nothing is mounted by $1"
}

# Unmounts, and waits for a server that stayed in the foreground.
unserve() {
	umount "$MNT" || fail "umount: exit status $?"
	wait_until 20 is_unmounted || fail "it is still mounted"
	wait $_server || :
}

# Says that two things are the same.
same() {
	[ "$1" = "$2" ] || fail "$3: \"$1\" instead of \"$2\""
}

# Works on the files of $1, which can be written, and leaves it empty.
work_on() {
	(
		cd "$1" || fail "cannot enter $1"
		mkdir a a/b || fail "mkdir"
		echo hello >a/f || fail "cannot write"
		same "$(cat a/f)" hello "what was written"
		echo more >>a/f || fail "cannot append"
		mv a/f a/b/g || fail "rename"
		same "$(cat a/b/g)" "hello
more" "after a rename"
		# In pieces of a page: dtfs garbles what it gets in one write that is
		# longer, with any kernel (dtfs_node_write stays where it is in it).
		dd if=/bin/ls of=big bs=4k 2>/dev/null || fail "cannot copy"
		cmp /bin/ls big || fail "a copy differs"
		ln -s a/b/g link && same "$(cat link)" "hello
more" "through a link" || fail "symbolic link"
		_n=0
		while [ $_n -lt 40 ]; do
			echo $_n >n$_n || fail "cannot make n$_n"
			_n=$((_n + 1))
		done
		set -- n*
		same $# 40 "a directory's files"
		same "$(cat n39)" 39 "the last of them"
		rmdir a 2>/dev/null && fail "rmdir of a directory that is not empty"
		cat nothere 2>/dev/null && fail "a file that is not there"
		rm n* link big a/b/g && rmdir a/b a || fail "cannot remove"
		set -- *
		same "$*" "*" "in the end"
	) || exit 1
}

# Loads the module. One that the kernel was built with, and that was unloaded,
# is put back by force alone; a file is not to be loaded that way, for it need
# not be of this kernel's version then.
load() {
	modload "$MODULE" 2>tmp/modload && return
	case $MODULE in
	*/*) ;;
	*) modload -f "$MODULE" && return ;;
	esac
	cat tmp/modload
	return 1
}

# Has the syncer write back what is two seconds old. It fails if a part of that does.
hurry_syncer() {
	_hurried=yes
	for _name in "" file dir meta; do
		sysctl -w vfs.sync.${_name}delay=2 >/dev/null 2>&1 || _hurried=
	done
	[ -n "$_hurried" ]
}

# Unloads the module. It may be busy after an unmount: a thread of the kernel
# keeps a reference to the mounts that it worked on, until it works on another.
# The root file system gives them work: ioflush writes files to it, and vdrain
# forgets its vnodes, for there are never as few as one. (So sysctl says EBUSY,
# and the kernel wants as many as before.)
unload() {
	_tries=0
	until modunload puffs 2>tmp/modunload; do
		_tries=$((_tries + 1))
		[ $_tries = 1 ] && hurry_syncer
		[ $_tries -lt 300 ] || {
			cat tmp/modunload
			fail "modunload is refused after $_tries tries"
		}
		for _name in 1 2 3 4; do
			echo x >/puffs-anita.$_name
		done
		sync
		rm -f /puffs-anita.*
		[ $((_tries % 10)) = 0 ] && sysctl -w kern.maxvnodes=1 >/dev/null 2>&1
		sleep 0.2
	done
}

# Enters the directory $1 of NetBSD's tests, which run on a rump kernel: with our
# library, if that is to be tested.
enter_tests() {
	SHARE=$PWD
	cd "$1" 2>/dev/null || skip "this system has no $1"
	set -- "$1" t_*
	[ -x "$2" ] || skip "there are no tests in $1"
	[ "$LIBRARY" = ours ] || return 0
	[ -d "$SHARE/rump" ] ||
	    skip "it runs on librumpfs_syspuffs, and ours was not handed over (--rump)"
	export LD_LIBRARY_PATH="$SHARE/rump"
}

# Runs an ATF program's test cases whose names the patterns $2... of case(1)
# match; $1 is the program. The cases' own time limits are for faster machines.
atf() {
	_program=$1
	shift
	_suite=${PWD#/usr/tests/}/$_program
	for _case in $(./"$_program" -l | sed -n 's/^ident: //p'); do
		for _pattern in "$@"; do
			case $_case in
			$_pattern) atf_case ;;
			esac
		done
	done
}

# One test case, in a directory of its own.
atf_case() {
	echo "== begin $_suite $_case"
	_source=$PWD _dir=$SHARE/tmp/atf
	rm -rf "$_dir"
	mkdir "$_dir"
	_begun=$(date +%s)
	(
		cd "$_dir" || exit 1
		export HOME="$_dir" __RUNNING_INSIDE_ATF_RUN=internal-yes-value
		timeout -s KILL 300 "$_source/$_program" -r "$_dir/../result" \
		    -s "$_source" "$_case"
	)
	_status=$?
	_seconds=$(($(date +%s) - _begun))
	_result="failed: exit status $_status and no result"
	[ -s "$SHARE/tmp/result" ] && read -r _result <"$SHARE/tmp/result"
	[ $_status = 137 ] && _result=timeout
	rm -f "$SHARE/tmp/result"
	(
		cd "$_dir" || exit 1
		export __RUNNING_INSIDE_ATF_RUN=internal-yes-value
		timeout -s KILL 60 "$_source/$_program" -s "$_source" \
		    "$_case:cleanup"
	) >/dev/null 2>&1
	echo "== result $_suite $_case $_seconds $_result"
}
