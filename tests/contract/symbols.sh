#!/usr/bin/env bash
# What leaves the shared library: every function the headers declare with SP_API, and nothing else.
# usage: symbols.sh LIBRARY
set -euo pipefail
library=$1
include=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../include" && pwd)
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
declared=$(grep -hv '^#' "$include"/spool/*.h | tr '\n' ' ' | sed -E 's#/\*([^*]|\*+[^*/])*\*+/# #g' |
    grep -oE 'SP_API [^;]*[(;]' | sed -E 's/[(;].*//; s/.*[ *]//' | sort -u)
if [ "$exported" != "$declared" ]; then
    echo "exported (left) and declared (right) differ:"
    diff <(echo "$exported") <(echo "$declared") || true
    exit 1
fi
soname=$(objdump -p "$library" | awk '/SONAME/ { print $2 }')
[ "$soname" = libspool.so.0 ] || { echo "SONAME is '$soname'"; exit 1; }
objdump -p "$library" | grep -q NODELETE || readelf -d "$library" | grep -q NODELETE || { echo "not -z nodelete"; exit 1; }
echo "$(echo "$exported" | wc -l) symbols exported, all declared; SONAME $soname"
