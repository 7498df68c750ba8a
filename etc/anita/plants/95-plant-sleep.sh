# Does not come to its end.
#: limit 15
. ./lib.sh

echo "this step sleeps"
sleep 100000
