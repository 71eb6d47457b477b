#!/usr/bin/env bash
# Each file here but good.c must be rejected under -Werror with the message its first line expects: those messages are part
# of the interface.  good.c must be silent.
# usage: run.sh CC
set -u
cc=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
include=$(cd "$here/../../include" && pwd)
passed=0 failed=0
note() { # note ok|bad NAME TEXT
    if [ "$1" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); printf 'FAILED %s\n%s\n' "$2" "$3"; fi
}
for standard in c11 gnu11 gnu2x; do
    said=$($cc -std=$standard -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I"$include" -fsyntax-only "$here/good.c" 2>&1) &&
        [ -z "$said" ] && note ok || note bad "good.c $standard" "$said"
done
for file in "$here"/*.c; do
    name=$(basename "$file")
    [ "$name" = good.c ] && continue
    if grep -q 'gcc only' "$file" && $cc --version | grep -q clang; then
        echo "$name: not checked, this compiler cannot see it"
        continue
    fi
    expected=$(sed -n '1s#^/\* expect: \(.*\) \*/$#\1#p' "$file")
    if said=$($cc -std=gnu11 -Wall -Wextra -Werror -I"$include" -c -o /dev/null "$file" 2>&1); then
        note bad "$name" "was accepted"
    elif ! grep -qE "$expected" <<<"$said"; then
        note bad "$name" "was rejected with other words than '$expected': $said"
    else
        note ok "$name" ""
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
