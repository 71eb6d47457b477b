"""Runs the contestants of benchmark rows alternately and compares their medians.  Called by scripts/bench.

A row is a measurement; a contestant is a program that makes it and prints one line of key=value pairs.

SPDX-License-Identifier: MIT
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

TIME_LIMIT = 120  # seconds for one run of one contestant
ROUNDS_THAT_COUNT = 11

# What a contestant is.  Eligible is who can put its thread to sleep.
OURS = "spool"
SLEEPS = "peer"  # goes to sleep at once
SPINS = "peer, spins first"
LIMIT = "limit"  # never sleeps: not eligible
OTHER = "other kind"  # never leaves its thread: not eligible


class Failure(Exception):
    """A contestant crashed, hung, or found a wrong sum."""


@dataclass
class Contestant:
    name: str
    kind: str
    program: str  # below the folder of programs, and words that go before the mode
    environment: dict = field(default_factory=dict)
    times: int = 1  # this many times the row's count
    stack: int = None  # instead of the row's

    def command(self, folder, row, count):
        program, *words = self.program.split()
        extra = row.extra if self.stack is None else self.stack
        return [str(folder / program), *words, row.mode, str(count * self.times), str(extra)]


@dataclass
class Row:
    name: str
    title: str
    unit: str
    higher_is_better: bool
    target: float  # the ratio at which the row counts as met
    mode: str
    count: int
    quick: int  # the count of --quick, and of the run in which system calls are counted
    extra: int
    contestants: list
    waits: bool = False  # system calls are of interest


def ours(program, name="spool", **more):
    return Contestant(name, OURS, f"bench.spool_{program}", **more)


def c_peer(program, name, kind=SLEEPS, **more):
    return Contestant(name, kind, f"bench.{program}", **more)


def rust_peer(program, name, kind=SPINS, **more):
    return Contestant(name, kind, f"bench-rust {program}", **more)


def go_peer(program, name, kind, **more):
    return Contestant(name, kind, f"bench-go {program}", **more)


def no_spin(program):
    return ours(program, "spool, SPOOL_SPIN=0", environment={"SPOOL_SPIN": "0"})


LOCKS = [
    ours("lock"),
    rust_peer("parking_lot_mutex", "parking_lot::Mutex"),
    rust_peer("std_mutex", "Rust std::sync::Mutex"),
    c_peer("pthread_mutex", "pthread mutex"),
    c_peer("pthread_adaptive", "pthread adaptive mutex", SPINS),
    c_peer("nsync_mu", "nsync_mu"),
    c_peer("ck_fas", "ck_spinlock_fas", LIMIT),
    c_peer("tbb_spin", "tbb::spin_mutex", LIMIT),
]
REENTRANT_LOCKS = [
    ours("rlock"),
    rust_peer("parking_lot_reentrant", "parking_lot::ReentrantMutex"),
    c_peer("std_recursive", "std::recursive_mutex"),
    c_peer("pthread_recursive", "pthread recursive mutex"),
]
SEMAPHORES = [
    ours("semaphore"),
    no_spin("semaphore"),
    rust_peer("crossbeam_bounded_1", "crossbeam bounded(1)"),
    c_peer("pthread_semaphore", "pthread sem_t"),
    c_peer("nsync_semaphore", "nsync mu+cv semaphore"),
    go_peer("chan_1", "Go chan of 1", OTHER),
]
EVENTS = [
    ours("event"),
    no_spin("event"),
    rust_peer("crossbeam_bounded_0", "crossbeam bounded(0)"),
    c_peer("pthread_event", "pthread hand-written event"),
    go_peer("chan_0", "Go chan of 0", OTHER),
]
CONDITIONS = [
    ours("condition"),
    no_spin("condition"),
    c_peer("nsync_condition", "nsync_cv"),
    c_peer("pthread_condition", "pthread cond"),
    rust_peer("parking_lot_condvar", "parking_lot::Condvar", SLEEPS),
    rust_peer("std_condvar", "Rust std::sync::Condvar", SLEEPS),
    go_peer("cond", "Go sync.Cond", OTHER),
]
BOUNDED = [
    ours("queue"),
    rust_peer("crossbeam_queue", "crossbeam bounded", times=2),
    go_peer("chan", "Go chan", SPINS, times=2),
    c_peer("nsync_ring", "nsync mu+2cv ring"),
    c_peer("pthread_ring", "pthread mutex+2cond ring"),
]
UNBOUNDED = [
    ours("queue"),
    rust_peer("crossbeam_queue", "crossbeam unbounded", times=2),
    c_peer("nsync_list", "nsync mu+cv list"),
    c_peer("pthread_list", "pthread mutex+cond list"),
]
MPSC = [rust_peer("std_mpsc", "Rust std::sync::mpsc", SLEEPS)]
THREADS = [
    ours("thread", "spool, default stack", stack=0),
    ours("thread", "spool, 64 KiB stack", stack=65536),
    c_peer("pthread_thread", "pthread, default stack", stack=0),
    c_peer("pthread_thread", "pthread, 64 KiB stack", stack=65536),
    c_peer("std_thread", "std::thread", stack=0),
]
SLEEPERS = [
    ours("thread", "spool, 64 KiB stack", stack=65536),
    c_peer("pthread_thread", "pthread, 64 KiB stack", stack=65536),
    c_peer("pthread_thread", "pthread, default stack", stack=0),
]

PAIRS, TRIPS, ITEMS = 20_000_000, 30_000, 2_000_000


def lock_row(name, title, mode, contestants):
    return Row(name, title, "ns/pair", False, 0.97, mode, PAIRS, 200_000, 0, contestants)


def contended_row(threads):
    return Row(f"L2-{threads}", f"lock, contended, {threads} threads", "Mpairs/s", True, 0.9, "contended", 500, 20,
               threads, LOCKS)


def pingpong_row(name, contestants):
    return Row(f"L4-{name}", f"ping-pong, {name}", "trips/s", True, 0.9, "pingpong", TRIPS, 3_000, 0, contestants, True)


def queue_row(name, mode, pairs, contestants):
    return Row(f"{name}-{pairs}", f"queue, {mode}, {pairs}:{pairs}", "Mitems/s", True, 0.9, mode, ITEMS, 100_000, pairs,
               contestants, True)


ROWS = [
    lock_row("L1", "lock, uncontended", "uncontended", LOCKS),
    contended_row(2),
    contended_row(4),
    lock_row("L3-outermost", "reentrant lock, uncontended", "uncontended", REENTRANT_LOCKS),
    lock_row("L3-nested", "reentrant lock, while held", "nested", REENTRANT_LOCKS),
    pingpong_row("semaphore", SEMAPHORES),
    pingpong_row("event", EVENTS),
    pingpong_row("condition", CONDITIONS),
    *(queue_row("Q1", "bounded", pairs, BOUNDED) for pairs in (1, 2, 4)),
    *(queue_row("Q2", "unbounded", pairs, UNBOUNDED + (MPSC if pairs == 1 else [])) for pairs in (1, 2, 4)),
    Row("T1", "start and join a thread", "us/thread", False, 0.9, "create", 20_000, 500, 0, THREADS, True),
    Row("T2", "10,000 sleepers of 500 ms", "s", False, 0.9, "sleepers", 10_000, 200, 0, SLEEPERS, True),
]


def choose(names):
    """The rows that are named, in their order here: L4 is all of L4-..."""
    for name in names:
        if not any(name in (row.name, row.name.split("-")[0]) for row in ROWS):
            raise ValueError(f"there is no row '{name}'; --list shows them")
    return [row for row in ROWS if not names or row.name in names or row.name.split("-")[0] in names]


def call(command, environment, limit=TIME_LIMIT):
    """Run a program; the pairs of the line that it prints."""
    what = " ".join(Path(word).name for word in command)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env={**os.environ, **environment}, start_new_session=True)
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Failure(f"{what}: not done after {limit} s") from None
    pairs = dict(re.findall(r"(\w+)=(\S+)", out))
    if process.returncode != 0 or "value" not in pairs:
        raise Failure(f"{what}: status {process.returncode}: {err.strip()}")
    return {key: value if key == "unit" else float(value) for key, value in pairs.items()}


def syscalls_per_op(command, environment):
    """System calls of one run under strace, start and end of the program included."""
    with tempfile.NamedTemporaryFile("r") as counts:
        pairs = call(["strace", "-c", "-f", "-q", "-o", counts.name, *command], environment)
        total = re.search(r"^\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", counts.read(), re.MULTILINE)
    if total is None:
        raise Failure("strace printed no total")
    return int(total.group(1)) / pairs["ops"]


def stolen():
    """Seconds that the hypervisor gave to others, of all processors."""
    with open("/proc/stat") as stat:
        return int(stat.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def measure(row, options):
    """Runs by contestant: a round for warming up, then rounds that begin with another contestant each time."""
    count = row.quick if options.quick else row.count
    runs = {contestant.name: [] for contestant in row.contestants}
    for number in range(options.rounds + 1):
        turn = number % len(row.contestants)
        for contestant in row.contestants[turn:] + row.contestants[:turn]:
            pairs = call(contestant.command(options.programs, row, count), contestant.environment)
            if pairs["unit"] != row.unit:
                raise Failure(f"{contestant.name}: prints {pairs['unit']}, the row is in {row.unit}")
            if number > 0:
                runs[contestant.name].append(pairs)
    return runs


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def ratio(row, mine, theirs):
    """At least 1: mine is better."""
    return mine / theirs if row.higher_is_better else theirs / mine


def digits(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def table(row, runs, calls):
    """Header and lines, best first."""
    extras = [key for key in ("fairness", "alive", "rss_mb") if key in runs[row.contestants[0].name][0]]
    if row.name[0] not in "QT":
        extras = [key for key in extras if key != "rss_mb"]
    head = ["contestant", "kind", "median", "min", "max", "cpu s"] + extras
    head += ["sleeps/op", "calls/op"] if row.waits else []
    lines = []
    ranked = sorted(row.contestants, key=lambda one: median(runs[one.name], "value"), reverse=row.higher_is_better)
    for contestant in ranked:
        mine = runs[contestant.name]
        values = [run["value"] for run in mine]
        line = [contestant.name, contestant.kind, digits(statistics.median(values)), digits(min(values)),
                digits(max(values)), f"{median(mine, 'cpu'):.3f}"]
        line += [digits(median(mine, key)) for key in extras]
        if row.waits:
            line += [f"{statistics.median(run['switches'] / run['ops'] for run in mine):.3f}",
                     f"{calls[contestant.name]:.3f}" if calls else "-"]
        lines.append(line)
    return [head] + lines


def print_table(lines):
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [cell.ljust(width) if column < 2 else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(line, widths))]
        print(("  " + "  ".join(cells)).rstrip())


def verdicts(row, runs, counts):
    """A sentence for each contestant of ours; met or not is said only when the run counts."""
    for mine in (one for one in row.contestants if one.kind == OURS):
        # Told not to spin, ours is compared with those who do not either.
        kinds = (SLEEPS,) if "SPOOL_SPIN" in mine.environment else (SLEEPS, SPINS)
        peers = [one for one in row.contestants if one.kind in kinds]
        pick = max if row.higher_is_better else min
        best = pick(peers, key=lambda one: median(runs[one.name], "value"))
        is_to = ratio(row, median(runs[mine.name], "value"), median(runs[best.name], "value"))
        met = (": met" if is_to >= row.target else ": not met") if counts else ""
        print(f"  {mine.name} against {best.name}: {is_to:.3f} (1 or more: spool is better; target {row.target}{met})")


def run_row(row, options):
    direction = "higher is better" if row.higher_is_better else "lower is better"
    before = stolen()
    runs = measure(row, options)
    lost = stolen() - before
    calls = {}
    if row.waits and options.strace:
        for one in row.contestants:
            calls[one.name] = syscalls_per_op(one.command(options.programs, row, row.quick), one.environment)
    print(f"{row.name}  {row.title}: {row.unit}, {direction}; rounds {options.rounds}, stolen by the host {lost:.1f} s")
    print_table(table(row, runs, calls))
    verdicts(row, runs, options.rounds >= ROUNDS_THAT_COUNT and not options.quick)
    print(flush=True)


def run_rows(rows, options):
    options.strace = shutil.which("strace") is not None
    if any(row.waits for row in rows):
        how = "counted by strace in a separate, shorter run" if options.strace else "not counted, strace is missing"
        print("sleeps/op: voluntary context switches of the measured runs")
        print(f"calls/op: system calls, {how}\n", flush=True)
    failed = False
    for row in rows:
        try:
            run_row(row, options)
        except Failure as failure:
            print(f"error: {row.name}: {failure}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def print_rows(rows):
    for row in rows:
        print(f"{row.name}  {row.title}: {row.unit}")
        for contestant in row.contestants:
            print(f"    {contestant.name} ({contestant.kind})")


def parse(words):
    parser = argparse.ArgumentParser(
        prog="scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Installs the Debian packages that are missing, builds spool and its peers, runs them in turn,\n"
                    "and prints median, minimum and maximum of each, and spool's ratio to the best eligible peer.",
        epilog="bench/README.md says what each row measures and when it counts as met.\n"
               "Ends with 1 when a contestant fails, say because a sum is wrong; with 2 for a wrong option or row.")
    parser.add_argument("rows", metavar="ROW", nargs="*", help="L1, L4, L4-event, ...; none: all")
    parser.add_argument("--rounds", metavar="N", type=int, default=ROUNDS_THAT_COUNT,
                        help="rounds after the one for warming up (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="small counts: does everything work?")
    parser.add_argument("--list", action="store_true", help="print rows and contestants")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--programs", type=Path, default=Path("build/bench/programs"), help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    try:
        rows = choose(options.rows)
    except ValueError as error:
        parser.error(str(error))
    return rows, options


def main(words):
    rows, options = parse(words)
    if options.list:
        print_rows(rows)
        return 0
    return 0 if options.check else run_rows(rows, options)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
