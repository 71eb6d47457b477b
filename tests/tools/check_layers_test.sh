#!/usr/bin/env bash
# check_layers must fail on an include that climbs, on a room that declares a higher one, and on an application that looks
# inside; and pass without.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/src/base" "$scratch/src/os" "$scratch/apps"

expect() { # expect pass|fail TEXT
    local status=pass
    "$root/tools/check_layers" "$scratch" >"$scratch/said" 2>&1 || status=fail
    if [ "$status" != "$1" ] || ! grep -qF "$2" "$scratch/said"; then
        echo "expected $1 with '$2', got $status:"; cat "$scratch/said"; exit 1
    fi
}

echo 'May include: nothing' >"$scratch/src/base/README.md"
echo 'May include: base' >"$scratch/src/os/README.md"
echo '#include "base/x.h"' >"$scratch/src/os/a.c"
expect pass "includes point down"
echo '#include "os/a.h"' >"$scratch/src/base/b.c"
expect fail 'src/base/b.c:1: base includes "os/a.h"'
echo '#include <os/a.h>' >"$scratch/src/base/b.c"
expect fail 'src/base/b.c:1: base includes "os/a.h"'
rm "$scratch/src/base/b.c"
echo 'May include: os' >"$scratch/src/base/README.md"
expect fail "base may not include os"
echo 'May include: nothing' >"$scratch/src/base/README.md"
echo '#include "os/os.h"' >"$scratch/apps/main.c"
expect fail "apps/main.c:1: includes an internal header"
echo '#include "../src/os/os.h"' >"$scratch/apps/main.c"
expect fail "apps/main.c:1: includes an internal header"
printf '#include <spool.h>\n#include <spool/thread.h>\n#include <sys/os.h>\n' >"$scratch/apps/main.c"
expect pass "includes point down"
echo "check_layers finds what it should"
