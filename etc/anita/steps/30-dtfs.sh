# dtfs: a file system in the memory of its server.
#: limit 120
. ./lib.sh

program dtfs /usr/share/examples/puffs/dtfs -lpuffs -lutil
for option in "" nopagecache nonamecache; do
	echo "with option \"$option\":"
	serve dtfs ${option:+-o $option} dtfs "$MNT"
	work_on "$MNT"
	unserve
done
