#!/usr/bin/env bash
# What users' programs rely on: every.c and every.cpp use the whole API and must compile without a warning, under each
# standard; each header must compile alone, in C and in C++.
# usage: run.sh CC CXX
set -u
cc=$1 cxx=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
include=$(cd "$here/../../include" && pwd)
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -fsyntax-only -I$include"
passed=0 failed=0

try() { # try NAME COMMAND...
    local name=$1 said
    shift
    if said=$("$@" 2>&1) && [ -z "$said" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s\n%s\n' "$name" "$said"
    fi
}

for standard in c11 gnu11 c17 gnu2x; do
    try "every.c $standard" $cc -std=$standard $warnings "$here/every.c"
done
try "every.c without the inline part" $cc -std=c11 -DSPOOL_NO_INLINE $warnings "$here/every.c"
for standard in c++17 gnu++17 c++20; do
    try "every.cpp $standard" $cxx -std=$standard $warnings "$here/every.cpp"
done
for header in "$include"/spool.h "$include"/spool/*.h; do
    name=${header#"$include"/}
    try "$name alone, C" sh -c "echo '#include <$name>
typedef int nothing_;' | $cc -std=c11 $warnings -x c -"
    try "$name alone, C++" sh -c "echo '#include <$name>' | $cxx -std=c++17 $warnings -x c++ -"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
