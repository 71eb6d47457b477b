#!/usr/bin/env bash
# Run a test with a time limit.  At the limit the stacks of all threads of the test and of the processes it started are
# printed, then they are killed: a hang must tell where.
# usage: limited.sh SECONDS PROGRAM [ARGUMENT...]     exit status: the program's, or 124 at the limit
# SPOOL_TEST_LAUNCHER: the emulator to run it with, as in tests/testing.h.
set -u
limit=$1
shift
${SPOOL_TEST_LAUNCHER:+"$SPOOL_TEST_LAUNCHER"} "$@" &
program=$!

stop() {
    echo "time limit: $* ran for $limit s"
    "$(dirname "${BASH_SOURCE[0]}")/stacks.sh" --kill "$program"
}

# The shell's own timer: a child that sleeps, told by the wait that ends first.
sleep "$limit" &
timer=$!
wait -n "$program" "$timer" 2>/dev/null
status=$?
if kill -0 "$timer" 2>/dev/null; then
    kill "$timer" 2>/dev/null
    wait "$timer" 2>/dev/null
    exit "$status"
fi
if ! kill -0 "$program" 2>/dev/null; then
    wait "$program"
    exit $?
fi
stop "$@" >&2
wait "$program" 2>/dev/null
exit 124
