#!/usr/bin/env bash
# check_table.sh must fail on a test that does not exist, that nothing runs, on a missing file, on a missing reason and on a
# row twice; and pass without.
set -euo pipefail
check=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/check_table.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/docs" "$scratch/tests/room"

expect() { # expect pass|fail TEXT ROW...
    local status=pass wanted=$1 text=$2
    shift 2
    printf '%s\n' '| Original | Behaviour | Our test |' '| --- | --- | --- |' "$@" >"$scratch/docs/conformance.md"
    "$check" "$scratch" >"$scratch/said" 2>&1 || status=fail
    if [ "$status" != "$wanted" ] || ! grep -qF "$text" "$scratch/said"; then
        echo "expected $wanted with '$text', got $status:"; cat "$scratch/said"; exit 1
    fi
}

cat >"$scratch/tests/room/a_test.c" <<'C'
static void good(void **state)
{
}

static void forgotten(void **state)
{
}
    cmocka_unit_test(good),
    cmocka_unit_test(only_named),
C
expect pass "2 rows, 1 of them n/a; 1 tests named; 0 wrong" '| A.b | x | room/a_test.c: good |' '| A.c | y | n/a: no such thing |'
expect fail "A.b: no test 'goo' in tests/room/a_test.c" '| A.b | x | room/a_test.c: goo |'
expect fail "A.b: no test 'bad' in tests/room/a_test.c" '| A.b | x | room/a_test.c: good; room/a_test.c: bad |'
expect fail "A.b: no test 'forgotten'" '| A.b | x | room/a_test.c: forgotten |'
expect fail "A.b: no test 'only_named'" '| A.b | x | room/a_test.c: only_named |'
expect fail "A.b: no test" '| A.b | x | room/a_test.c |'
expect fail "A.b: there is no tests/room/b_test.c" '| A.b | x | room/b_test.c: good |'
expect fail "A.b: there is no tests/" '| A.b | x | |'
expect fail "A.b: there is no tests/n/a" '| A.b | x | n/a |'
expect fail "A.b: a row has three columns" '| A.b | x | room/a_test.c: good | z |'
expect fail "listed twice: A.b" '| A.b | x | n/a: y |' '| A.b | x | n/a: y |'
expect fail "there are no rows"
echo "check_table.sh finds what it should"
