#!/bin/sh
# Installs the Debian packages that the tests need. Quiet when all is there,
# so that a Makefile can call it before every run.
set -eu

packages="qemu-system-x86 debootstrap erofs-utils squashfs-tools fuse3 attr
cpio zstd util-linux mount e2fsprogs ca-certificates git make shellcheck gcc
libc6-dev libdeflate-dev"

missing=""
for package in $packages; do
	status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
	echo "tests/deps.sh: missing Debian packages (install them as root with apt-get):$missing" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# A third-party source that does not answer must not stop the tests: whether
# the packages can be had is decided by the installation itself.
apt-get update -qq || echo "tests/deps.sh: apt-get update reported errors, going on" >&2
# The list is one of words.
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
