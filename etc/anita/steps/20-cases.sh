# Our own tests: what a server may do, and what a file system has to do.
#: output tap
#: limit 3600
. ./lib.sh

have puffs-guest || skip "no puffs-guest was handed over"
exec puffs-guest run ${1:+--after "$1"}
