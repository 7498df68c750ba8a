# A panic: by a module crash.kmod that was handed over (--programs), or by the
# kernel's own means, if it has them.
. ./lib.sh

echo "this step panics"
modload bin/crash.kmod 2>/dev/null
sysctl -w debug.crashme_enable=1 >/dev/null 2>&1 &&
    sysctl -w debug.crashme.panic=1
skip "this kernel does not know how to panic"
