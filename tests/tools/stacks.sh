#!/usr/bin/env bash
# Print the stacks of all threads of a process and of those that it started; with --kill end them then.
# usage: stacks.sh [--kill] PID
set -u
kills=
[ "$1" != --kill ] || { kills=1; shift; }

family() { # family PID: it and its descendants, parents first
    local child
    echo "$1"
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do family "$child"; done
}

for pid in $(family "$1"); do
    [ -r /proc/"$pid"/exe ] || continue
    echo "---- process $pid: $(tr '\0' ' ' </proc/"$pid"/cmdline)"
    timeout 60 gdb -p "$pid" -batch -ex 'set pagination off' -ex 'thread apply all bt' 2>&1 |
        grep -vE '^(\[New LWP|warning:|Using host|\[Thread debugging|$)' | head -n 400
done
# shellcheck disable=SC2046
[ -z "$kills" ] || kill -KILL $(family "$1") 2>/dev/null
exit 0
