#!/usr/bin/env bash
# run.sh passes what it should, and fails what it should.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

expect() { # expect pass|fail SAID EXPECTED
    local status=pass
    printf '#!/bin/sh\nprintf "%%b\\n" "%s"\n' "$2" >"$scratch/program"
    chmod +x "$scratch/program"
    printf '%b\n' "$3" >"$scratch/expected"
    "$here/run.sh" "$scratch/program" "$scratch/expected" >"$scratch/diff" || status=fail
    [ "$status" = "$1" ] || { echo "'$2' for '$3': $status"; cat "$scratch/diff"; exit 1; }
}

expect pass 'a\nb' 'a\nb'
expect fail 'a\nb' 'b\na'
expect pass 'a\nb' '# any order\nb\na'
expect fail 'a\nb' '# any order\na\na'
expect fail 'a' '# any order\na\na'
expect pass 'took 0.52 s' '# any times\ntook 1.97 s'
expect fail 'took 0.52 s' 'took 1.97 s'
expect fail 'took 2 s' '# any times\ntook 1.97 s'
expect pass 'CPUs: 8' '# any times\nCPUs: 2'
expect fail 'CPUs: some' '# any times\nCPUs: 2'
expect fail 'gave 0.52 s' '# any times\ntook 0.52 s'
expect pass 'a\n0.52 s' '# any order\n# any times\n1.97 s\na'
expect pass 'a\n0.52 s' '# any times\n# any order\n1.97 s\na'
expect fail 'a' '# any luck\na'

printf '#!/bin/sh\necho a\nexit 1\n' >"$scratch/program"
echo a >"$scratch/expected"
if "$here/run.sh" "$scratch/program" "$scratch/expected" >"$scratch/diff"; then echo "a program that fails has passed"; exit 1; fi
echo "run.sh passes and fails what it should"
