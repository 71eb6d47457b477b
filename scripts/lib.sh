# Shared by the scripts; sourced, not run.

root=$(CDPATH='' cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

say() { printf '==> %s\n' "$*" >&2; } # standard output belongs to the program that is run
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

run_packages="gcc libc6-dev make cmake pkg-config libcurl4-openssl-dev libmicrohttpd-dev libjansson-dev libsqlite3-dev
    ca-certificates"
test_packages="$run_packages g++ clang clang-tidy clang-format cppcheck libcmocka-dev zlib1g-dev valgrind gdb sqlite3 binutils python3 relacy-dev"

# Install what is missing, with a word about what that is.
need_packages() {
    local missing=() package apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
    command -v dpkg-query >/dev/null || die "this needs a Debian system (dpkg-query is missing); by hand, install: $*"
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "not root, and sudo is missing; as root, install: ${missing[*]}"
        apt=(sudo "${apt[@]}")
    fi
    say "installing ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null
    then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "could not install ${missing[*]}"
    fi
    rm -f "$log"
}

# Run a command quietly; show what it said when it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}
