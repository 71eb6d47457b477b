#!/usr/bin/env bash
# Every test that docs/*.md names as `tests/ROOM/FILE: NAME` is there: the file exists and has a function, or in a script a
# word, of that name.  check_docs.sh [ROOT]; it must find some, and `check_docs.sh --self-test` must find what is missing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

check() { # check ROOT
    local named=0 missing=0 doc line file name
    while IFS=: read -r doc line file name; do
        named=$((named + 1)) file=${file#\`} name=${name# } name=${name%\`}
        if [ ! -f "$1/$file" ]; then
            echo "$doc:$line: there is no $file"
        elif [[ $file == *.[ch] ]] && ! grep -qE "^[a-z][a-z_0-9 *]*\b$name\(" "$1/$file"; then
            echo "$doc:$line: $file has no function $name"
        elif [[ $file != *.[ch] ]] && ! grep -qw -- "$name" "$1/$file"; then
            echo "$doc:$line: $file has no $name"
        else
            continue
        fi
        missing=$((missing + 1))
    done < <(cd "$1" && grep -noE '`tests/[A-Za-z0-9_./-]+: ?[A-Za-z0-9_]+`' docs/*.md /dev/null)
    # What looks like a test but is spelt so that it was not checked.
    while IFS= read -r line; do
        echo "$line: not spelt as \`tests/ROOM/FILE: NAME\`"
        missing=$((missing + 1))
    done < <(cd "$1" && grep -noE 'tests/[A-Za-z0-9_./-]+_test\.c[^`]*`?' docs/*.md /dev/null |
        grep -vE ':tests/[A-Za-z0-9_./-]+: ?[A-Za-z0-9_]+`$')
    [ "$named" -gt 0 ] || { echo "no test is named in $1/docs"; return 1; }
    echo "$named tests are named, $missing of them wrongly"
    [ "$missing" -eq 0 ]
}

if [ "${1:-}" != --self-test ]; then
    check "${1:-$root}"
    exit
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/docs" "$scratch/tests/room"
printf 'static void is_there(void **state)\n{\n    is_called(state);\n}\n' >"$scratch/tests/room/a_test.c"
echo 'case_of_a_script() { :; }' >"$scratch/tests/room/b.sh"

expect() { # expect pass|fail TEXT DOC
    local status=pass
    printf '%s\n' "$3" >"$scratch/docs/a.md"
    check "$scratch" >"$scratch/said" 2>&1 || status=fail
    if [ "$status" != "$1" ] || ! grep -qF -- "$2" "$scratch/said"; then
        echo "expected $1 with '$2', got $status:"; cat "$scratch/said"; exit 1
    fi
}

expect pass "2 tests are named" '| x | `tests/room/a_test.c: is_there`, `tests/room/b.sh: case_of_a_script` |'
expect fail "a.md:1: tests/room/a_test.c has no function is_gone" '`tests/room/a_test.c: is_gone`'
expect fail "has no function is_called" '`tests/room/a_test.c: is_called`'
expect fail "there is no tests/room/c_test.c" '`tests/room/c_test.c: is_there`'
expect fail "b.sh has no case_that_is_gone" '`tests/room/b.sh: case_that_is_gone`'
expect fail "not spelt as" '`tests/room/a_test.c: is_there` and tests/room/a_test.c, is_gone'
expect fail "no test is named" 'nothing'
echo "check_docs finds what it should"
