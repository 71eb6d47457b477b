#!/usr/bin/env bash
# check_atomics must find each kind of violation, and must not take a comment or a string for code.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/src/base" "$scratch/src/os" "$scratch/src/sync" "$scratch/include"
echo '#define sp__load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)' >"$scratch/src/base/atomic.h"
echo 'void *a(void) { return malloc(1); }' >"$scratch/src/os/memory.c"

expect() { # expect pass|fail TEXT LINE...: what is said when src/sync/a.c consists of these lines
    local wanted=$1 text=$2 status=pass
    shift 2
    printf '%s\n' "$@" >"$scratch/src/sync/a.c"
    "$root/tools/check_atomics" "$scratch" >"$scratch/said" 2>&1 || status=fail
    if [ "$status" != "$wanted" ] || ! grep -qF "$text" "$scratch/said"; then
        printf 'expected %s with "%s", got %s, for:\n%s\n' "$wanted" "$text" "$status" "$*"
        cat "$scratch/said"
        exit 1
    fi
}

expect pass "explained" '/* malloc(1), volatile,' '   pthread_mutex_lock( */' 'say("free(p) volatile");' 'x->free(p); // read('
expect pass "explained" 'x = sp__load_acquire(&w); /* acquire: what the setter wrote */'
expect pass "explained" '/* acquire: what the setter wrote */' 'x = sp__load_acquire(&w);'
expect fail "src/sync/a.c:2: no word on the memory order" '' 'x = sp__load_acquire(&w); /* the word */'
expect fail "src/sync/a.c:6: no word" '/* acquire: too far away */' '' '' '' '' 'x = sp__load_acquire(&w);'
expect fail "src/sync/a.c:1: only base/atomic.h" 'x = __atomic_load_n(&w, __ATOMIC_ACQUIRE);'
expect fail "src/sync/a.c:1: waits belong to park/" 'static volatile int x;'
expect fail "src/sync/a.c:1: waits belong to park/" 'static pthread_mutex_t lock;'
expect fail "src/sync/a.c:1: memory and system calls" '    if ((p = malloc(3)) == NULL)'
expect fail "src/sync/a.c:2: memory and system calls" '/* over' '   lines */ free(p);'
expect fail "src/sync/a.c:1: memory and system calls" 'return syscall(SYS_futex);'
echo "check_atomics finds what it should"
