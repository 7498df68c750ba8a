# Unloads the module.
#: limit 180
. ./lib.sh

mount
unload
modstat
