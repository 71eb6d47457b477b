#!/usr/bin/env bash
# A program with the shared library that loads a plugin with a copy of its own inside is told so; one copy is fine.
# usage: copies_test.sh CC SHARED_LIBRARY STATIC_LIBRARY
set -u
cc=$1 shared=$2 static=$3
include=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../include" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/plugin.c" <<'C'
#include <spool.h>
double plugin(void);
double plugin(void) { return sp_monotonic(); }
C
cat >"$dir/program.c" <<'C'
#include <dlfcn.h>
#include <spool.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    if (sp_monotonic() <= 0)
        return 1;
    for (int i = 1; i < argc; i++)
        if (dlopen(argv[i], RTLD_NOW | RTLD_LOCAL) == NULL) {
            puts(dlerror());
            return 1;
        }
    puts("loaded");
    return 0;
}
C
"$cc" -fPIC -shared -I"$include" "$dir/plugin.c" -o "$dir/one.so" -L"$(dirname "$shared")" -lspool || exit 1
"$cc" -fPIC -shared -I"$include" "$dir/plugin.c" -o "$dir/copy.so" -Wl,--exclude-libs,ALL "$static" -lpthread || exit 1
"$cc" -I"$include" "$dir/program.c" -o "$dir/program" "$shared" -Wl,-rpath,"$(dirname "$shared")" || exit 1
said=$("$dir/program" "$dir/one.so" 2>&1) && [ "$said" = loaded ] || { echo "one copy: $said"; exit 1; }
said=$("$dir/program" "$dir/copy.so" 2>&1) && { echo "a second copy was not noticed: $said"; exit 1; }
case $said in
*"two copies of the library"*libspool*copy.so*) echo "$said" ;;
*) echo "a second copy was not named: $said"; exit 1 ;;
esac
