# Shared by the scripts; sourced, not run.

root=$(CDPATH='' cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

say() { printf '==> %s\n' "$*" >&2; } # standard output belongs to the program that is run
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

run_packages="gcc libc6-dev make cmake pkg-config libcurl4-openssl-dev libmicrohttpd-dev libjansson-dev libsqlite3-dev
    ca-certificates"
test_packages="$run_packages g++ clang lld llvm clang-tidy clang-format cppcheck libcmocka-dev zlib1g-dev valgrind gdb sqlite3 binutils python3 relacy-dev"

# Of the stages for another C library and another processor.
musl_packages="musl-tools xz-utils"
aarch64_packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user xz-utils"

# Install what is missing, or give up.
need_packages() { get_packages "$@" || exit 1; }

# Install what is missing, with a word about what that is.  Status 1, after a word about why: that cannot be done.
get_packages() {
    local missing=() package apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
    command -v dpkg-query >/dev/null ||
        { say "this needs a Debian system (dpkg-query is missing); by hand, install: $*"; return 1; }
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { say "not root, and sudo is missing; as root, install: ${missing[*]}"; return 1; }
        apt=(sudo "${apt[@]}")
    fi
    say "installing ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null
    then
        tail -n 20 "$log" >&2
        rm -f "$log"
        say "could not install ${missing[*]}"
        return 1
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

# cmocka for a compiler that the packaged one does not fit, built from Debian's source package into build/PRESET/cmocka.
# Status 1: the source cannot be had.
cmocka_for() { # cmocka_for PRESET CMAKE_OPTIONS...
    local preset=$1 source=$root/build/cmocka
    shift
    [ ! -f "$root/build/$preset/cmocka/lib/libcmocka.so" ] || return 0
    [ -f "$source/CMakeLists.txt" ] || fetch_source cmocka "$source" || return 1
    quietly cmake -S "$source" -B "$root/build/$preset/cmocka-build" -DCMAKE_BUILD_TYPE=Release -DWITH_EXAMPLES=OFF \
        -DCMAKE_INSTALL_PREFIX="$root/build/$preset/cmocka" -DCMAKE_INSTALL_LIBDIR=lib "$@" || die "could not configure cmocka"
    quietly cmake --build "$root/build/$preset/cmocka-build" || die "could not build cmocka"
    quietly cmake --install "$root/build/$preset/cmocka-build" || die "could not install cmocka"
}

# A Debian source package, unpacked into a folder.  The lists of apt stay as they are: ours lie in a scratch folder.
fetch_source() { # fetch_source PACKAGE FOLDER
    local scratch status=0 suite apt
    scratch=$(mktemp -d)
    chmod 755 "$scratch"
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" \
        >"$scratch/sources.list"
    mkdir -p "$scratch/lists/partial" "$2"
    apt=(apt-get -o Dir::Etc::SourceList="$scratch/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists="$scratch/lists" -o Dir::Cache="$scratch" -o APT::Sandbox::User="$(id -un)")
    say "fetching the source of $1"
    { quietly "${apt[@]}" update && (cd "$scratch" && quietly "${apt[@]}" source --download-only "$1") &&
        tar -C "$2" --strip-components=1 -xf "$scratch"/"$1"_*.orig.tar.*z; } || status=1
    rm -rf "$scratch"
    return $status
}
