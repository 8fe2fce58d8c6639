#!/bin/bash
# Shows what sabrefs does with nothing but KVM: starts the guest that is part of the
# program, takes a snapshot, packs it, restores it from the packed snapshot and compares
# every answer with those from the raw files. Then it records the guest's working set,
# lays the image out by it, and restores once more. Run by tests/demo.sh where there is
# no QEMU.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
cleanup() {
	[ -z "${vm:-}" ] || kill "$vm" 2>/dev/null || true
	bin/sabrefs umount "$work/mnt" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/store" "$work/mnt" "$work/traces"

# show COMMAND...: prints a command and runs it.
show() {
	echo
	echo "== ${*//"$work/"/}"
	"$@"
}

# ask WHAT ARGUMENTS...: restores the guest, asks the questions, and prints when it
# answered first. The answers must be the same each time.
ask() {
	local what=$1 answers
	shift
	answers=$(printf '%s\n' "${questions[@]}" quit | bin/sabrefs vm restore --json "$@" 2>"$work/times")
	if [ -z "$expected" ]; then
		expected=$answers
		printf '%s\n' "$answers"
	fi
	if [ "$answers" != "$expected" ]; then
		printf 'From %s the guest gave other answers:\n%s\n' "$what" "$answers" >&2
		exit 1
	fi
	sed -E "s/.*\"first_instruction_millis\":([0-9.]+),\"first_output_millis\":([0-9.]+).*/-- from $what: first instruction after \1 ms, first answer after \2 ms/" "$work/times"
}

cold() {
	sync
	echo 1 >/proc/sys/vm/drop_caches 2>/dev/null || true
}

echo
echo "== A guest with a table of 32 MiB, started with KVM"
bin/sabrefs vm run --builtin-guest --memory 64M --api-sock "$work/vm.sock" </dev/null >"$work/console" &
vm=$!
for _ in $(seq 600); do
	grep -q ready "$work/console" && break
	kill -0 "$vm"
	sleep 0.1
done
grep ready "$work/console"
show bin/sabrefs vm snapshot --api-sock "$work/vm.sock" "$work/snapshot"
show bin/sabrefs vm stop --api-sock "$work/vm.sock"
wait "$vm"
vm=
ls -ls "$work/snapshot"

show bin/sabrefs pack "$work/snapshot" "$work/store/guest"
show bin/sabrefs verify "$work/store"

echo
echo "== sabrefs vm restore: the guest goes on where it stopped, with every byte as it was"
questions=(stat sum verify)
expected=
ask "the raw file" "$work/snapshot"
ask "the packed snapshot, mounted for it" "$work/store/guest"

echo
echo "== A few questions touch a small part of its memory"
questions=('get 5' 'get 1234' 'get 99' 'get 4711')
expected=
cold
ask "the raw file, cold" "$work/snapshot"
cold
ask "the packed snapshot, cold, mounted for it" "$work/store/guest"

show bin/sabrefs mount --record "$work/traces" "$work/store" "$work/mnt"
ask "a mount that records" --memory "$work/mnt/guest/mem_file" "$work/store/guest"
show bin/sabrefs umount "$work/mnt"
show bin/sabrefs ws info "$work/traces/guest/mem_file.ws"
show bin/sabrefs repack --working-set "$work/traces" "$work/store"

cold
show bin/sabrefs mount "$work/store" "$work/mnt"
ask "the mount with its working set, cold" --memory "$work/mnt/guest/mem_file" "$work/store/guest"
ask "the mount, warm" --memory "$work/mnt/guest/mem_file" "$work/store/guest"
show bin/sabrefs stats "$work/mnt"
show bin/sabrefs umount "$work/mnt"

echo
echo "The guest gave the same answers each time."
