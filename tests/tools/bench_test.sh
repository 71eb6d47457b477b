#!/usr/bin/env bash
# scripts/bench tells a wrong row before it installs or builds anything; the runner compares in the right direction and
# fails when a contestant does.  Needs no peers: the contestants here are scripts.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

expect() { # expect STATUS TEXT COMMAND...
    local wanted=$1 text=$2 status=0
    shift 2
    "$@" >"$scratch/said" 2>&1 || status=$?
    if [ "$status" != "$wanted" ] || ! grep -qF -- "$text" "$scratch/said"; then
        echo "$*: expected status $wanted and '$text', got status $status:"; cat "$scratch/said"; exit 1
    fi
}

contestant() { # contestant PROGRAM VALUE UNIT
    printf '#!/bin/sh\necho "value=%s unit=%s cpu=0.1 ops=10 switches=0 rss_mb=1.0 fairness=1.0"\n' "$2" "$3" \
        >"$scratch/programs/$1"
    chmod +x "$scratch/programs/$1"
}

list_rows() { "$root/scripts/bench" --list | sed -n 's/^\([^ ]\{1,\}\)  .*/\1/p' | tr '\n' ' '; }
compare() { python3 "$root/bench/run.py" --programs "$scratch/programs" --rounds "$@"; }

rows="L1 L2-2 L2-4 L3-outermost L3-nested L4-semaphore L4-event L4-condition Q1-1 Q1-2 Q1-4 Q2-1 Q2-2 Q2-4 T1 T2 "
rows+="P1 P1-memory P2 P2-idle P3 P4a P4b C1 idle "
for row in P2 L4 Q1; do rows+="$row-busy-1 $row-busy-2 $row-busy-4 "; done
expect 0 "$rows" list_rows
expect 0 "usage: scripts/bench" "$root/scripts/bench" --help
expect 2 "there is no row 'L9'" "$root/scripts/bench" L1 L9
expect 2 "--rounds must be at least 1" "$root/scripts/bench" --rounds 0 L1
expect 2 "unrecognized arguments: --fast" "$root/scripts/bench" --fast

mkdir "$scratch/programs"
# Lower is better; the best of the peers counts.
for program in bench.std_recursive bench.pthread_recursive; do contestant $program 30 ns/pair; done
contestant bench.spool_rlock 10 ns/pair
contestant bench-rust 20 ns/pair
expect 0 "spool against parking_lot::ReentrantMutex: 2.000 (1 or more: spool is better; target 0.97)" \
    compare 1 L3-nested
expect 0 "target 0.97: met" compare 11 L3-nested
contestant bench.spool_rlock 40 ns/pair
expect 0 "0.500 (1 or more: spool is better; target 0.97: not met)" compare 11 L3-nested
# Higher is better; a limit does not count.
for program in bench-rust bench.pthread_mutex bench.pthread_adaptive bench.nsync_mu; do
    contestant $program 20 Mpairs/s
done
for program in bench.ck_fas bench.tbb_spin; do contestant $program 90 Mpairs/s; done
contestant bench.spool_lock 30 Mpairs/s
expect 0 "1.500 (1 or more" compare 1 L2-2
# Who crashes or measures something else fails the run.
expect 1 "prints Mpairs/s, the row is in ns/pair" compare 1 L1
printf '#!/bin/sh\necho "the sum is wrong" >&2\nexit 1\n' >"$scratch/programs/bench.nsync_mu"
expect 1 "bench.nsync_mu contended 500 2: status 1: the sum is wrong" compare 1 L2-2
# Beside busy processes the better of ours without spinning and a peer that never spins counts; the processes run meanwhile.
contestant bench.pthread_semaphore 100 trips/s
cat >"$scratch/programs/bench.spool_semaphore" <<'END'
#!/bin/sh
busy=0 looks=0
# A process whose start has been reported to its parent may not have its command line yet.
while [ "$busy" -lt 2 ] && [ "$looks" -lt 1000 ]; do
    busy=0 looks=$((looks + 1))
    for process in $(grep -sl 'while True: pass' /proc/[0-9]*/cmdline); do
        ! grep -qs "^PPid:[[:space:]]*$PPID$" "${process%cmdline}status" || busy=$((busy + 1))
    done
done
[ "$busy" -eq 2 ] || exit 1
echo "value=${SPOOL_SPIN:-90} unit=trips/s cpu=0.1 ops=10 switches=0 rss_mb=1.0"
END
chmod +x "$scratch/programs/bench.spool_semaphore"
expect 0 "spool against pthread sem_t: 0.900 (1 or more: spool is better; target 0.833333: met)" \
    compare 11 L4-busy-2
# Goals are figures as well, and multiples of what a peer does; a peer may be shown without being a goal.
map_programs="bench-rust bench-go bench.tbb_map bench.omp_map bench.pthread_map"
for program in $map_programs; do contestant $program 98 ms; done
contestant bench.spool_map 100 ms
expect 0 "spool against 0.98 x rayon: 1.000 (1 or more: spool is better; target 0.97)" compare 1 P4a
for program in $map_programs; do contestant $program 100 %; done
contestant bench.spool_map 97 %
expect 0 "spool against 99 %: 0.980 (1 or more: spool is better; target 0.97: met)" compare 11 P4b
expect 0 "spool against rayon: 0.970 (1 or more: spool is better)" compare 11 P4b
contestant bench.spool_map 90 %
expect 0 "spool against 99 %: 0.909 (1 or more: spool is better; target 0.97: not met)" compare 11 P4b
echo "scripts/bench does what it says"
