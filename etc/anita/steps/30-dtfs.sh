# dtfs: a file system in the memory of its server.
#: limit 120
. ./lib.sh

dtfs_program
for option in "" nopagecache nonamecache; do
	echo "with option \"$option\":"
	serve dtfs ${option:+-o $option} dtfs "$MNT"
	work_on "$MNT"
	unserve
done
