# fanoutfs, an example for librefuse: what is in another directory.
#: limit 120
. ./lib.sh

program fanoutfs share/examples/refuse/fanoutfs -lrefuse -lpuffs -lutil
rm -rf tmp/low
mkdir tmp/low
# It makes and renames only what has a name that is longer than this.
echo tmp/low >/etc/fanoutfs.conf
echo low >tmp/low/old-file
serve fanoutfs "$MNT"
same "$(cat "$MNT/old-file")" low "a file of the other directory"
cp /bin/ls "$MNT/copy" || fail "cannot copy"
cmp /bin/ls "$MNT/copy" || fail "a copy differs"
mkdir "$MNT/directory" || fail "mkdir"
mv "$MNT/old-file" "$MNT/directory/new-file" || fail "rename"
same "$(cat tmp/low/directory/new-file)" low "what was renamed"
for dir in . directory; do
	same "$(ls "$MNT/$dir")" "$(ls tmp/low/$dir)" "what is listed"
done
rm "$MNT/copy" "$MNT/directory/new-file" && rmdir "$MNT/directory" ||
    fail "cannot remove"
same "$(ls -A tmp/low)" "" "what is left"
unserve
