# Our own tests: what a server may do, and what a file system has to do.
#: output tap
#: limit 3600
. ./lib.sh

have puffs-guest || skip "no puffs-guest was handed over"
# The C code does not survive a case that shows what it gets wrong; those are
# left out. docs/DEFECTS.md has them.
stock=
[ "$LIBRARY" = stock ] && stock=--stock
exec puffs-guest run $stock ${1:+--after "$1"}
