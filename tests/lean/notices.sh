#!/usr/bin/env bash
# Does the driver notice each way to end badly?  And does it say so, and nothing of a program that ends well?
# usage: notices.sh DRIVE PROGRAM
set -u
drive=$1 program=$2 wrong=0

expect() { # expect STATUS WORDS FAULT [SECONDS]: what is not to take all the time that it has gets much
    local said status
    said=$(SPOOL_LEAN_FAULT=$3 SPOOL_TEST_SCALE=100 "$drive" --programs 1 --seed 1 --jobs 1 --seconds "${4:-40}" \
        --shrink-seconds 0 "$program" 2>&1)
    status=$?
    if [ "$status" -ne "$1" ] || ! grep -q -- "$2" <<<"$said"; then
        echo "$3: expected status $1 and '$2', got $status and:"
        echo "$said"
        wrong=1
    fi
}

expect 0 "1 programs, 0 failed" none
expect 1 "seed 1 crashed" crash
expect 1 "seed 1 hung" hang 2
expect 1 "a deadlock was reported where there is none" deadlock
expect 1 "not true: world.items == 0 " leak
expect 1 "seed 1 crashed" status
expect 1 "seed 1 left a process" left 10
exit "$wrong"
