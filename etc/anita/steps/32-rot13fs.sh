# rot13fs: another directory, with names and contents turned by 13 letters.
#: limit 120
. ./lib.sh

program rot13fs share/examples/puffs/rot13fs -lpuffs -lutil
rm -rf tmp/low
mkdir tmp/low
echo Hello >tmp/low/file
serve rot13fs "$PWD/tmp/low" "$MNT"
same "$(cat "$MNT/svyr")" Uryyb "what is read"
echo Abc >"$MNT/arj" || fail "cannot write"
unserve
same "$(cat tmp/low/new)" Nop "what was written"
