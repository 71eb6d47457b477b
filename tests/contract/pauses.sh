#!/usr/bin/env bash
# Windows for tests (src/base/pause.h) are in test builds only, and each of them is opened by a test.
# usage: pauses.sh LIBRARY... TEST_LIBRARY
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
libraries=("${@:1:$#-1}")
test_library=${*: -1}
sites=$(grep -rhoE 'SP__PAUSE\("[^"]+: [^"]+"\)' "$root/src" --include='*.[ch]' | cut -d'"' -f2 | sort -u)
count=$(wc -l <<<"$sites")
failed=

# Those of the sites that stand in the text.
found_in() { grep -aoF "$sites" | sort -u; }
expect() { # WHAT EXPECTED FOUND
    [ "$2" = "$3" ] || { echo "$1:"; diff <(echo "$2") <(echo "$3") || true; failed=yes; }
}

[ "$count" -gt 10 ] || { echo "only $count windows in src/"; exit 1; }
opened=$(grep -rhoE '"[^"]+: [^"]+"' "$root/tests" --include='*.[ch]' | tr -d '"' | grep -xF "$sites" | sort -u)
expect "opened by no test (<)" "$sites" "$opened"
expect "$test_library: its windows (>)" "$sites" "$(found_in <"$test_library")"
expect "$test_library: its hook" sp__pause_hook "$(nm "$test_library" | grep -o ' [BD] sp__pause_hook$' | cut -c4-)"
for library in "${libraries[@]}"; do
    expect "$library: it has windows" "" "$(found_in <"$library" || true)"
    expect "$library: it has a hook" "" "$(nm "$library" | grep -o 'sp__pause.*' || true)"
done
[ -z "$failed" ] || exit 1
echo "$count windows, each opened by a test, none in what is installed"
