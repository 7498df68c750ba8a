#!/bin/sh
# Makes sure that there is a cargo to run `cargo xtask` with; xtask brings the
# rest.  A cargo that is there already (rustup's, say) is used as it is.
set -eu

if command -v cargo >/dev/null 2>&1 && command -v cc >/dev/null 2>&1; then
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "please install Rust 1.95 or later (https://rustup.rs) and a C compiler" >&2
	exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo apt-get update -qq
# Debian 12's own cargo is too old; these packages are the newer ones that its
# security team keeps for browsers.
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
    --no-install-recommends cargo-web rustc-web gcc libc6-dev ca-certificates
