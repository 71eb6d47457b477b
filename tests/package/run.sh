#!/usr/bin/env bash
# Install into an empty folder, then build and run a program against it the ways there are: pkg-config and CMake, shared
# and static; with both compilers.
# usage: run.sh BUILD_DIR CC CXX
set -euo pipefail
build=$1 cc=$2 cxx=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/installed" >"$scratch/install.log"
pc=$(dirname "$(find "$scratch/installed" -name spool.pc)")
libdir=$(dirname "$pc")
export PKG_CONFIG_PATH=$pc

check() { # check NAME PROGRAM
    local said
    said=$(LD_LIBRARY_PATH=$libdir "$2" | sort)
    [ "$said" = "$(printf 'a.html: 42 bytes\nb.html: 42 bytes\nfailed: download: .url is required')" ] ||
        { printf '%s printed:\n%s\n' "$1" "$said"; exit 1; }
    echo "fine: $1"
}

for compiler in gcc clang "$cc"; do
    command -v "$compiler" >/dev/null || { echo "$compiler is missing"; exit 1; }
    $compiler -std=c11 -Wall -Wextra -Wpedantic -Werror $(pkg-config --cflags spool) "$here/program.c" \
        $(pkg-config --libs spool) -o "$scratch/shared"
    check "pkg-config, shared, $compiler" "$scratch/shared"
    $compiler -std=c11 -Wall -Wextra -Wpedantic -Werror $(pkg-config --cflags spool) "$here/program.c" \
        "$libdir/libspool.a" $(pkg-config --libs-only-other --static spool) -pthread -o "$scratch/static"
    check "pkg-config, static, $compiler" "$scratch/static"
    $compiler -std=c11 -static $(pkg-config --cflags spool) "$here/program.c" $(pkg-config --libs --static spool) \
        -o "$scratch/static"
    check "pkg-config, everything static, $compiler" "$scratch/static"
done
cmake -S "$here" -B "$scratch/user" -DCMAKE_PREFIX_PATH="$scratch/installed" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_CXX_COMPILER="$cxx" >"$scratch/cmake.log"
cmake --build "$scratch/user" >>"$scratch/cmake.log"
check "CMake, shared" "$scratch/user/shared"
check "CMake, static" "$scratch/user/static"
LD_LIBRARY_PATH=$libdir "$scratch/user/cpp"
