#!/bin/sh
# build.sh OUT_DIR PACKAGES PROGRAM COMMAND: makes OUT_DIR/vmlinuz and
# OUT_DIR/initramfs.zst, a Debian guest with the packages (separated by commas),
# whose init does nothing but execute COMMAND, which runs /PROGRAM, a file beside
# this script. Needs root.
set -eu

out_dir=$1
packages=$2
program=$3
program_command=$4
recipe_dir=$(cd "$(dirname "$0")" && pwd)
suite=bookworm
mirror=http://deb.debian.org/debian
# Files that the build itself makes get this time, so that a rebuild from the
# same packages gives the same archive.
SOURCE_DATE_EPOCH=1700000000
export SOURCE_DATE_EPOCH

for tool in apt-get dpkg debootstrap cpio zstd; do
	command -v "$tool" >/dev/null || {
		echo "build.sh: $tool is missing; tests/deps.sh installs what the tests need" >&2
		exit 1
	}
done
[ "$(id -u)" -eq 0 ] || {
	echo "build.sh: debootstrap needs root" >&2
	exit 1
}

mkdir -p "$out_dir"
work_dir=$(mktemp -d "$out_dir/work.XXXXXX")
root_dir=$work_dir/root
start_stamp=$work_dir/start
touch "$start_stamp"
trap 'umount "$root_dir/proc" "$root_dir/sys" 2>/dev/null || true
	rm -rf --one-file-system "$work_dir"' EXIT
trap 'exit 1' INT TERM HUP

# The cloud kernel boots fastest: it probes no hardware that QEMU lacks, and its
# 8250 serial driver is built in. Only its image is taken, nothing is installed.
fetch_kernel() {
	# Package lists may be absent, or name a version that the mirror has dropped.
	download_kernel 2>/dev/null || {
		apt-get update -qq || echo "build.sh: apt-get update reported errors, going on" >&2
		download_kernel
	} || {
		echo "build.sh: cannot download the kernel of linux-image-cloud-amd64" >&2
		exit 1
	}
	dpkg -x "$work_dir"/linux-image-*.deb "$work_dir/kernel"
	cp "$work_dir"/kernel/boot/vmlinuz-* "$out_dir/vmlinuz"
}

download_kernel() {
	package=$(apt-cache depends linux-image-cloud-amd64 |
		sed -n 's/^ *Depends: *\(linux-image-[0-9].*\)$/\1/p' | head -n 1)
	# As _apt, apt could not write to a directory of root's.
	[ -n "$package" ] &&
		(cd "$work_dir" && apt-get -qq -o APT::Sandbox::User=root download "$package")
}

make_root() {
	debootstrap --variant=minbase --include="$packages" \
		"$suite" "$root_dir" "$mirror" >"$work_dir/debootstrap.log" 2>&1 || {
		tail -n 20 "$work_dir/debootstrap.log" >&2
		exit 1
	}
}

# What no running service would have in memory must not fill the guest's 512 MiB.
strip_root() {
	for path in etc/resolv.conf etc/hostname var/cache/apt var/lib/apt var/lib/dpkg var/log boot dev \
		usr/share/doc usr/share/man usr/share/info usr/share/locale usr/share/i18n \
		usr/share/zoneinfo usr/share/bash-completion usr/share/perl usr/share/perl5 \
		usr/lib/x86_64-linux-gnu/perl usr/lib/x86_64-linux-gnu/perl-base \
		usr/lib/x86_64-linux-gnu/gconv; do
		rm -rf "${root_dir:?}/$path"
	done
	mkdir -p "$root_dir/dev" "$root_dir/proc" "$root_dir/sys"
}

install_server() {
	install -m 0644 "$recipe_dir/$program" "$root_dir/$program"
	cat >"$root_dir/init" <<INIT
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
export PATH=/usr/bin:/bin HOME=/
exec env $program_command </dev/ttyS1 >/dev/ttyS1 2>&1
INIT
	chmod 0755 "$root_dir/init"
}

pack_initramfs() {
	# Files of packages keep their times: python's compiled files refer to them.
	find "$root_dir" -newer "$start_stamp" \
		-exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
	(cd "$root_dir" && find . -print0 | LC_ALL=C sort -z |
		cpio --null --create --quiet --format=newc --reproducible --owner=0:0) |
		zstd -q -T0 -10 -o "$out_dir/initramfs.zst"
}

fetch_kernel
make_root
strip_root
install_server
pack_initramfs
