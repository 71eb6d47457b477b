#!/usr/bin/env bash
# Every row of docs/conformance.md names tests that exist, and are run, or says "n/a: " and why.
# usage: check_table.sh [ROOT]
set -euo pipefail
root=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
table=$root/docs/conformance.md
rows=0 named=0 absent=0 failed=0

bad() {
    failed=$((failed + 1))
    echo "docs/conformance.md: $1"
}

# A function that is a test, or the body of a child that a test runs; and a second place that names it: it is run.
is_test() { # is_test FILE FUNCTION
    grep -qE "^static (inline )?(void $2\(void \*\*state\)|int $2\(void\))$" "$1" && [ "$(grep -cw "$2" "$1")" -ge 2 ]
}

check_test() { # check_test ORIGINAL TEST
    local file=$root/tests/${2%%:*} function=${2#*: }
    named=$((named + 1))
    if [ ! -f "$file" ]; then
        bad "$1: there is no tests/${2%%:*}"
    elif [[ $2 == *.sh ]]; then
        [ -x "$file" ] || bad "$1: tests/$2 cannot be run"
    elif [[ $2 != *": "* ]] || ! is_test "$file" "$function"; then
        bad "$1: no test '$function' in tests/${2%%:*}"
    fi
}

while IFS='|' read -r _ original behaviour tests rest; do
    read -r original <<<"$original"
    read -r tests <<<"$tests"
    [ "$original" != Original ] && [ "$original" != --- ] || continue
    rows=$((rows + 1))
    [ -n "${behaviour// /}" ] && [ -z "$rest" ] || bad "$original: a row has three columns"
    if [[ $tests == "n/a: "?* ]]; then
        absent=$((absent + 1))
        continue
    fi
    while IFS= read -r test; do
        check_test "$original" "$test"
    done < <(sed 's/; /\n/g' <<<"$tests")
done < <(grep '^|' "$table")

twice=$(grep '^|' "$table" | awk -F' *\\| *' '$2 != "Original" && $2 != "---" { print $2 }' | sort | uniq -d)
[ -z "$twice" ] || bad "listed twice: $twice"
[ "$rows" -gt 0 ] || bad "there are no rows"
echo "$rows rows, $absent of them n/a; $named tests named; $failed wrong"
[ "$failed" -eq 0 ]
