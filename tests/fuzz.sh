#!/bin/bash
# Runs every native fuzz function of the module, one after the other, for
# FUZZTIME each. Arguments are packages; without any, all are searched.
#
#	FUZZTIME=5m tests/fuzz.sh ./store/...
set -euo pipefail

cd "$(dirname "$0")/.."
fuzztime=${FUZZTIME:-20s}
[ $# -gt 0 ] || set -- ./...

# Assignments, not pipes into loops: a package that does not compile must stop
# the script and not merely contribute no functions.
packages=$(go list "$@")
count=0
failed=()
for package in $packages; do
	listing=$(go test -list '^Fuzz' "$package")
	for function in $(grep '^Fuzz' <<<"$listing" || true); do
		count=$((count + 1))
		echo "== $package $function ($fuzztime)"
		go test -run '^$' -fuzz "^$function\$" -fuzzminimizetime 20x -fuzztime "$fuzztime" "$package" ||
			failed+=("$package $function")
	done
done

if [ "$count" -eq 0 ]; then
	echo "tests/fuzz.sh: no fuzz function found in: $*" >&2
	exit 1
fi
if [ ${#failed[@]} -gt 0 ]; then
	printf 'tests/fuzz.sh: FAILED %s\n' "${failed[@]}" >&2
	exit 1
fi
echo "tests/fuzz.sh: $count functions, all passed"
