# Our own tests: what a server may do, and what a file system has to do.
#: output tap
#: limit 7200
. ./lib.sh

have puffs-guest || skip "no puffs-guest was handed over"
# The C code does not survive a case that shows what it gets wrong; those are
# left out. docs/DEFECTS.md has them.
stock=
[ "$LIBRARY" = stock ] && stock=--stock
# Some make thousands of calls, of a kernel that QEMU may have to interpret.
exec puffs-guest run --limit 300 $stock ${1:+--after "$1"}
