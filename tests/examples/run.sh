#!/usr/bin/env bash
# Run an example; it must succeed and print what is expected.  Lines at the head of the expectation that begin with "# any"
# say what does not matter:
#   # any order   the order of the lines
#   # any times   numbers with a decimal point, and how many CPUs there are: 0.52 and 1.97 are the same, and so are
#                 "CPUs: 1" and "CPUs: 2"
# usage: run.sh PROGRAM EXPECTED_FILE
set -euo pipefail
said=$("$1" 2>&1) || { status=$?; printf "%s\n" "$said" "exit status $status"; exit "$status"; }
expected=$(cat "$2")

without_times() { sed -E 's/[0-9]+\.[0-9]+/N.N/g; s/CPUs: [0-9]+/CPUs: N/g' <<<"$1"; }

while [ "${expected#\# any }" != "$expected" ]; do
    case ${expected%%$'\n'*} in
    "# any order") sorted=1 ;;
    "# any times") said=$(without_times "$said") expected=$(without_times "$expected") ;;
    *) echo "$2: what is '${expected%%$'\n'*}'?"; exit 1 ;;
    esac
    expected=${expected#*$'\n'}
done
[ -z "${sorted:-}" ] || { said=$(sort <<<"$said") expected=$(sort <<<"$expected"); }
[ "$said" = "$expected" ] || { diff <(echo "$expected") <(echo "$said") || true; exit 1; }
