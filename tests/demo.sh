#!/bin/bash
# Shows what sabrefs does, with a real guest: builds, takes (or finds) a
# snapshot, packs it, mounts it, resumes an unmodified QEMU from the mount and
# compares every answer with those that the guest gave when it was snapshotted.
# Then it records the guest's working set, lays the image out by it, and times
# cold starts with and without. Where there is no QEMU, but KVM, it does the same with
# the guest and the launcher that are part of sabrefs (demo-builtin.sh); where there is
# neither, it installs QEMU, as root. Run by `make demo`, which builds the binaries.
#
#	tests/demo.sh [builtin|linux]    linux needs QEMU
set -euo pipefail
cd "$(dirname "$0")/.."

guest=${1:-}
if [ -z "$guest" ]; then
	guest=linux
	if ! command -v qemu-system-x86_64 >/dev/null && [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
		guest=builtin
	fi
fi
if [ "$guest" = builtin ]; then
	exec tests/demo-builtin.sh
fi
tests/deps.sh

echo
echo "== A snapshot of a Linux guest: python3 with numpy, 512 MiB (built once, then cached)"
snapshot=$(go run ./tests/guest/cmd/guestsnap --guest python)
ls -l "$snapshot"

work=$(mktemp -d)
cleanup() {
	bin/sabrefs umount "$work/mnt" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/store" "$work/mnt" "$work/traces"
go build -o "$work/guestsnap" ./tests/guest/cmd/guestsnap

# show COMMAND...: prints a command and runs it.
show() {
	echo
	echo "== ${*//"$work/"/}"
	"$@"
}

# resume WHAT MEMORY: prints the times as JSON, and fails if an answer is wrong.
resume() {
	echo "-- QEMU resumes from $1"
	"$work/guestsnap" resume --mem "$2" "$snapshot"
}

show bin/sabrefs pack "$snapshot" "$work/store/python"
packed=$(stat -c %s "$work/store/python/mem_file.sabre")
show bin/sabrefs verify "$work/store"

show bin/sabrefs mount "$work/store" "$work/mnt"
ls -ls "$work/mnt/python"
resume "the raw file" "$snapshot/mem_file"
resume "the mount" "$work/mnt/python/mem_file"
show bin/sabrefs umount "$work/mnt"

show bin/sabrefs mount --record "$work/traces" "$work/store" "$work/mnt"
resume "a mount that records" "$work/mnt/python/mem_file"
show bin/sabrefs umount "$work/mnt"
show bin/sabrefs ws info "$work/traces/python/mem_file.ws"
show bin/sabrefs repack --working-set "$work/traces" "$work/store"

show bin/sabrefs mount "$work/store" "$work/mnt"
resume "the mount with its working set" "$work/mnt/python/mem_file"
show bin/sabrefs umount "$work/mnt"

raw=$(stat -c %s "$snapshot/mem_file")
laid_out=$(stat -c %s "$work/store/python/mem_file.sabre")
echo
echo "The guest gave the same answers each time. Its memory: $raw bytes raw, $packed packed, $laid_out with a working set."

echo
echo "== Cold starts of a recorded run, in turn: the raw file cold and warm, the mount without and with a working set"
bin/sabrefs-bench coldstart --same-input --guest "$snapshot" --functions python --runs 3 \
	--sides raw-cold,raw-warm,mount,ws --sabrefs bin/sabrefs --work-dir "$work" 2>/dev/null
