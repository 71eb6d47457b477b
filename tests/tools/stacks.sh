#!/usr/bin/env bash
# Print the stacks of all threads of a process and of those that it started, or of a group; with --kill end them then.
# usage: stacks.sh [--kill] [--family | --group] ID
set -u
kills= whose=family
[ "$1" != --kill ] || { kills=1; shift; }
case $1 in --*) whose=${1#--}; shift ;; esac

family() { # family PID: it and its descendants, parents first
    local child
    echo "$1"
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do family "$child"; done
}

group() { # group ID: the processes in it; their names, which may be anything, end with the last parenthesis
    local stat fields
    for stat in /proc/[0-9]*/stat; do
        fields=$(cat "$stat" 2>/dev/null) || continue
        fields=${fields##*) }
        # shellcheck disable=SC2086
        set -- "$1" $fields
        [ "$4" != "$1" ] || basename "${stat%/stat}"
    done
}

for pid in $("$whose" "$1"); do
    [ -r /proc/"$pid"/exe ] || continue
    echo "---- process $pid: $(tr '\0' ' ' </proc/"$pid"/cmdline)"
    timeout 60 gdb -p "$pid" -batch -ex 'set pagination off' -ex 'thread apply all bt' 2>&1 |
        grep -vE '^(\[New LWP|warning:|Using host|\[Thread debugging|$)' | head -n 400
done
# shellcheck disable=SC2046
[ -z "$kills" ] || kill -KILL $("$whose" "$1") 2>/dev/null
exit 0
