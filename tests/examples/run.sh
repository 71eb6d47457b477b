#!/usr/bin/env bash
# Run an example; it must succeed and print what is expected: the same lines, in the same order, or in any order when the
# first line of the expectation is "# any order".
# usage: run.sh PROGRAM EXPECTED_FILE
set -euo pipefail
said=$("$1" 2>&1)
expected=$(cat "$2")
if [ "$(head -n 1 "$2")" = "# any order" ]; then
    said=$(printf '%s\n' "$said" | sort)
    expected=$(tail -n +2 "$2" | sort)
fi
[ "$said" = "$expected" ] || { diff <(echo "$expected") <(echo "$said") || true; exit 1; }
