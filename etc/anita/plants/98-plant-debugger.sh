# A panic that waits in the debugger for somebody to ask.
. ./lib.sh

sysctl -w ddb.commandonenter= ddb.onpanic=1 ||
    skip "this kernel has no debugger, or lets nobody change that"
modload bin/crash.kmod 2>/dev/null
sysctl -w debug.crashme_enable=1 >/dev/null 2>&1 &&
    sysctl -w debug.crashme.panic=1
skip "this kernel does not know how to panic"
