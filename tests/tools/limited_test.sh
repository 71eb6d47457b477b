#!/usr/bin/env bash
# limited.sh must name what each thread of a hanging test waits in, end it, and leave good and bad tests alone.
# usage: limited_test.sh HANGING_PROGRAM
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bad=0
check() { # check WHAT COMMAND...
    local what=$1
    shift
    "$@" || { echo "FAILED: $what"; bad=1; }
}
said=$("$here/limited.sh" 3 sh -c "$1; true" 2>&1)
status=$?
check "status 124 at the limit, not $status" [ "$status" -eq 124 ]
for name in wait_for_an_event wait_for_a_permit sp_join_all; do
    check "the stack of $name is shown" grep -q "$name" <<<"$said"
done
check "nothing is left" sh -c "! ls -l /proc/[0-9]*/exe 2>/dev/null | grep -qF '$1'"
"$here/limited.sh" 60 true
check "a good test passes" [ $? -eq 0 ]
"$here/limited.sh" 60 sh -c 'exit 7'
check "a bad test's status comes through" [ $? -eq 7 ]
[ "$bad" -eq 0 ] || printf '%s\n' "$said"
exit $bad
