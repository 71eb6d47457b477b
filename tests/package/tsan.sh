#!/usr/bin/env bash
# Programs of a user who has the thread sanitizer and our library without it: it finds no race where docs/memory-model.md
# promises an order, for which the tests named there are taken, and finds the one in race.c.
# usage: tsan.sh BUILD_DIR
set -euo pipefail
build=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tests=$here/..
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# As in scripts/test: the sanitizer does not start where addresses are randomised too much.
launcher=()
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] && setarch -R true 2>/dev/null; then
    launcher=(setarch -R)
fi

cmake --install "$build" --prefix "$scratch/installed" >"$scratch/install.log"
libdir=$(dirname "$(find "$scratch/installed" -name libspool.a)")
include=$scratch/installed/include
export LD_LIBRARY_PATH=$libdir SPOOL_TEST_SCALE=10
failures=0

# What the tests take from src/ is a few macros, compiled into them.
build_and_run() { # build_and_run COMPILER LIBRARY SOURCE
    local program=$scratch/program
    "$1" -std=gnu11 -g -O1 -fsanitize=thread -I "$include" -I "$tests" -I "$tests/../src" "$3" "$2" -pthread -lcmocka \
        -o "$program"
    "${launcher[@]}" timeout 200 "$program" >"$scratch/said" 2>&1
}

silent() { # silent COMPILER LIBRARY SOURCE
    if build_and_run "$@" && ! grep -q 'WARNING: ThreadSanitizer' "$scratch/said"; then
        echo "fine: $1, ${2##*/}, ${3##*/tests/}"
    else
        echo "not silent: $1, ${2##*/}, $3"
        head -n 60 "$scratch/said"
        failures=$((failures + 1))
    fi
}

found() { # found COMPILER LIBRARY SOURCE
    for _ in 1 2 3 4 5; do # the two may happen to run one after the other
        if ! build_and_run "$@" && grep -q 'data race.*count' "$scratch/said"; then
            echo "found: $1, ${2##*/}"
            return
        fi
    done
    echo "not found: the race in $3, $1, ${2##*/}"
    failures=$((failures + 1))
}

for compiler in gcc clang; do
    for library in "$libdir/libspool.so" "$libdir/libspool.a"; do
        silent "$compiler" "$library" "$tests/sync/order_test.c"
        silent "$compiler" "$library" "$tests/executor/order_test.c"
        found "$compiler" "$library" "$here/race.c"
    done
done
# The rest of the promises, in many shapes.
for test in conformance/{as_completed,barrier,condition,future,local,pool,rlock,semaphore,shutdown,timer,wait}_test.c \
    hangs/callback_test.c stress/linearizability_test.c; do
    silent gcc "$libdir/libspool.so" "$tests/$test"
done
[ "$failures" -eq 0 ]
