# mount_psshfs: a directory of this machine, by ssh over the loopback interface.
#: limit 300
. ./lib.sh

for name in mount_psshfs ssh sshd ssh-keygen; do
	have $name || skip "this system has no $name"
done
ifconfig lo0 127.0.0.1 up || fail "no loopback interface"
rm -rf tmp/ssh tmp/low
mkdir tmp/ssh tmp/low
chmod 700 . tmp tmp/ssh
for key in host user; do
	ssh-keygen -q -t ed25519 -N "" -f tmp/ssh/$key || fail "ssh-keygen"
done
cp tmp/ssh/user.pub tmp/ssh/authorized
cat >tmp/ssh/config <<END
Port 2222
ListenAddress 127.0.0.1
HostKey $PWD/tmp/ssh/host
AuthorizedKeysFile $PWD/tmp/ssh/authorized
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile $PWD/tmp/ssh/pid
Subsystem sftp /usr/libexec/sftp-server
END
"$(command -v sshd)" -f tmp/ssh/config || fail "sshd does not start"
# It goes into the background first, and listens then; this file is last.
wait_until 20 test -s tmp/ssh/pid || fail "sshd does not listen"
trap 'clean_up; kill $(cat tmp/ssh/pid)' EXIT
serve mount_psshfs -O Port=2222 -O "IdentityFile=$PWD/tmp/ssh/user" \
    -O StrictHostKeyChecking=no -O UserKnownHostsFile=/dev/null -O BatchMode=yes \
    "root@127.0.0.1:$PWD/tmp/low" "$MNT"
work_on "$MNT"
unserve
