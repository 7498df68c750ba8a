# The machine goes away without a word.
. ./lib.sh

reboot -nq
sleep 60
fail "it is still there"
