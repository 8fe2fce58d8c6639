#!/bin/bash
# Shows what sabrefs does, with a real guest: builds, takes (or finds) a
# snapshot, packs it, mounts it, resumes an unmodified QEMU from the mount and
# compares every answer with those that the guest gave when it was snapshotted.
# Run by `make demo`, which builds the binaries and installs what it needs first.
set -euo pipefail
cd "$(dirname "$0")/.."

echo
echo "== A snapshot of a Linux guest: python3 with numpy, 512 MiB (built once, then cached)"
snapshot=$(go run ./tests/guest/cmd/guestsnap)
ls -l "$snapshot"

work=$(mktemp -d)
cleanup() {
	bin/sabrefs umount "$work/mnt" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/store" "$work/mnt"

echo
echo "== sabrefs pack SNAPSHOT STORE/python"
bin/sabrefs pack "$snapshot" "$work/store/python"

echo
echo "== sabrefs verify STORE"
bin/sabrefs verify "$work/store"

echo
echo "== sabrefs mount STORE MNT"
bin/sabrefs mount "$work/store" "$work/mnt"
ls -ls "$work/mnt/python"

echo
echo "== QEMU resumes from the raw file, then from MNT/python/mem_file, with cold caches"
# Resuming prints its times as JSON and fails if an answer of the guest is wrong.
resume() {
	sync
	if [ -w /proc/sys/vm/drop_caches ]; then echo 3 >/proc/sys/vm/drop_caches; fi
	echo "-- $1"
	go run ./tests/guest/cmd/guestsnap resume --mem "$2" "$snapshot"
}
resume "raw file" "$snapshot/mem_file"
resume "sabrefs mount" "$work/mnt/python/mem_file"

echo
echo "== sabrefs umount MNT"
bin/sabrefs umount "$work/mnt"

raw=$(stat -c %s "$snapshot/mem_file")
packed=$(stat -c %s "$work/store/python/mem_file.sabre")
echo
echo "The guest gave the same answers from both. Its memory: $raw bytes raw, $packed bytes packed."
