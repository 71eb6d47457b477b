#!/usr/bin/env bash
# The static library built with -O3 -flto, as a program that wants all of its calls inlined would have it: programs that are
# linked with it, and optimised as a whole, give no warning and do what they should.
# usage: lto.sh SOURCE_DIR
set -euo pipefail
root=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
warnings=(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
failures=0

build_library() { # build_library COMPILER LTO AR RANLIB
    cmake -S "$root" -B "$scratch/$1" -DCMAKE_BUILD_TYPE=None -DCMAKE_C_COMPILER="$1" -DCMAKE_C_FLAGS="-O3 $2" \
        -DCMAKE_AR="$(command -v "$3")" -DCMAKE_RANLIB="$(command -v "$4")" -DSPOOL_WERROR=ON >"$scratch/$1.log"
    cmake --build "$scratch/$1" --target spool_static >>"$scratch/$1.log" 2>&1 || { cat "$scratch/$1.log"; exit 1; }
    # An archive of ordinary objects would show nothing: gcc's have sections for it, clang's are its own format.
    "$3" p "$scratch/$1/libspool.a" park.c.o >"$scratch/park.o"
    readelf -SW "$scratch/park.o" 2>&1 | grep '\.gnu\.lto_' >/dev/null || [ "$(head -c 2 "$scratch/park.o")" = BC ] ||
        { echo "it is not optimised when it is linked: $1"; exit 1; }
}

link() { # link NAME COMPILER OPTIONS...
    local name=$1 compiler=$2
    shift 2
    : >"$scratch/out"
    if "$compiler" -std=gnu11 -O3 "${warnings[@]}" -I "$root/include" "$@" -pthread -o "$scratch/program" >"$scratch/said" 2>&1 &&
        [ ! -s "$scratch/said" ] && "$scratch/program" >"$scratch/out" 2>&1
    then
        echo "fine: $name, $compiler"
    else
        echo "not fine: $name, $compiler"
        cat "$scratch"/{said,out}
        failures=$((failures + 1))
    fi
}

link_all() { # link_all COMPILER OPTIONS...
    local compiler=$1 library=$scratch/$1/libspool.a example
    shift
    link "program.c" "$compiler" "$@" "$here/program.c" "$library"
    link "the whole library" "$compiler" "$@" "$here/program.c" -Wl,--whole-archive "$library" -Wl,--no-whole-archive
    for example in two_threads worker_pool lazy_map nested_tasks inline_pool request_data order_results condition_items; do
        link "$example" "$compiler" "$@" "$root/examples/$example.c" "$library"
    done
}

build_library gcc -flto=auto gcc-ar gcc-ranlib
link_all gcc -flto=auto
build_library clang -flto llvm-ar llvm-ranlib
link_all clang -flto -fuse-ld=lld
[ "$failures" -eq 0 ]
