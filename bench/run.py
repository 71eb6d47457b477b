"""Runs the contestants of benchmark rows alternately and compares their medians.  Called by scripts/bench.

A row is a measurement; a contestant is a program that makes it and prints one line of key=value pairs.

SPDX-License-Identifier: MIT
"""

import argparse
import contextlib
import itertools
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

TIME_LIMIT = 120  # seconds for one run of one contestant
ROUNDS_THAT_COUNT = 11
MEMORY_IS_SHOWN = ("Q", "T", "P1", "C1")  # in rows whose names begin like this

# What a contestant is.  Eligible is who can put its thread to sleep.
OURS = "spool"
SLEEPS = "peer"  # goes to sleep at once
SPINS = "peer, spins first"
NO_HANDLE = "peer, no handle"  # tasks of a pool that cannot be waited for one by one
LIMIT = "limit"  # never sleeps, or has no tasks: not eligible
OTHER = "other kind"  # never leaves its thread, or works in the submitter's: not eligible


class Failure(Exception):
    """A contestant crashed, hung, or found a wrong sum."""


@dataclass
class Contestant:
    name: str
    kind: str
    program: str  # below the folder of programs, and words that go before the mode
    environment: dict = field(default_factory=dict)
    times: float = 1  # this many times the row's count
    stack: int = None  # instead of the row's

    def command(self, folder, row, quick):
        program, *words = self.program.split()
        count = max(1, int((row.quick if quick else row.count) * self.times))
        extra = row.extra if self.stack is None else self.stack
        if quick and row.quick_extra is not None:
            extra = row.quick_extra
        return [str(folder / program), *words, row.mode, str(count), str(extra)]


@dataclass
class Goal:
    """What ours is compared with: a figure, or else the best peer of these kinds."""
    figure: float = None
    times: float = 1  # so many times as good as the peer
    kinds: tuple = (SLEEPS, SPINS)
    peers: tuple = ()  # only these, of whatever kind; none of them is judged itself
    key: str = "value"  # of what is printed; of all others than this, less is better
    target: float = None  # the ratio at which it counts as met, instead of the row's; 0: shown, not judged


@dataclass
class Row:
    name: str
    title: str
    unit: str
    higher_is_better: bool
    target: float  # the ratio at which a goal counts as met
    mode: str
    count: int
    quick: int  # the count of --quick, and of the run in which system calls are counted
    extra: int
    contestants: list
    waits: bool = False  # system calls are of interest
    goals: tuple = (Goal(),)
    quick_extra: int = None  # instead of extra, with the count of --quick
    busy: int = 0  # processes that want a processor all the time, beside each run


def ours(program, name="spool", **more):
    return Contestant(name, OURS, f"bench.spool_{program}", **more)


def c_peer(program, name, kind=SLEEPS, **more):
    return Contestant(name, kind, f"bench.{program}", **more)


def rust_peer(program, name, kind=SPINS, **more):
    return Contestant(name, kind, f"bench-rust {program}", **more)


def go_peer(program, name, kind, **more):
    return Contestant(name, kind, f"bench-go {program}", **more)


def cpython(**more):
    return Contestant("CPython ThreadPoolExecutor", SLEEPS, "bench-python executor", **more)


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
HANDLES = [
    ours("pool"),
    rust_peer("crossbeam_pool", "crossbeam pool, bounded(1) each"),
    rust_peer("rayon_spawn", "rayon spawn, bounded(1) each"),
    c_peer("pthread_pool", "pthread pool and futures"),
    c_peer("std_pool", "C++ packaged_task pool"),
]
POOLS = HANDLES + [
    go_peer("workers", "Go workers, chan each", SPINS),
    rust_peer("rayon_in_place_scope", "rayon in_place_scope", NO_HANDLE),
    c_peer("glib_pool", "GThreadPool", NO_HANDLE),
    rust_peer("rayon_scope", "rayon scope", OTHER),
    c_peer("tbb_pool", "tbb::task_group", OTHER),
    c_peer("omp_pool", "OpenMP task", OTHER),
    cpython(times=0.02),
]
# Who sleeps and wakes for each task makes fewer round trips.
ONE_TASK = [
    ours("pool"),
    no_spin("pool"),
    rust_peer("crossbeam_pool", "crossbeam pool, bounded(1) each"),
    rust_peer("rayon_spawn", "rayon spawn, bounded(1) each"),
    rust_peer("rayon_install", "rayon install", times=0.1),
    c_peer("pthread_pool", "pthread pool and futures", times=0.1),
    c_peer("std_pool", "C++ packaged_task pool", times=0.1),
    c_peer("glib_pool", "GThreadPool", NO_HANDLE, times=0.1),
    go_peer("workers", "Go workers, chan each", OTHER),
    c_peer("tbb_pool", "tbb::task_group", OTHER),
    c_peer("omp_pool", "OpenMP task", OTHER),
    cpython(times=0.1),
]
AFTER_IDLE = [
    ours("pool"),
    rust_peer("rayon_spawn", "rayon spawn, bounded(1) each"),
    rust_peer("rayon_install", "rayon install"),
    rust_peer("crossbeam_pool", "crossbeam pool, bounded(1) each"),
    c_peer("pthread_pool", "pthread pool and futures"),
]
FORKS = [
    ours("fib"),
    rust_peer("rayon_join", "rayon::join"),
    c_peer("tbb_fib", "tbb::parallel_invoke", SPINS),
    c_peer("omp_fib", "OpenMP task", SPINS),
    go_peer("goroutines", "Go goroutine and WaitGroup", OTHER),
    c_peer("serial_fib", "one thread, no tasks", LIMIT),
]
MAPS = [
    ours("map"),
    rust_peer("rayon_map", "rayon"),
    c_peer("tbb_map", "tbb::parallel_for", SPINS),
    c_peer("omp_map", "OpenMP for", SPINS),
    c_peer("pthread_map", "pthread pool and futures"),
    go_peer("goroutines", "Go goroutines", SPINS),
]

PAIRS, TRIPS, ITEMS, TASKS = 20_000_000, 30_000, 2_000_000, 1_000_000
BYTES = Goal(128, key="bytes", target=1)
SHOWN = Goal(target=0)  # the best peer, for comparison


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


def beside_busy(row, number, count, peer):
    """The row while that many processes want the processors: what spinning costs then, against ours without it and a peer
    that never spins."""
    names = ("spool", "spool, SPOOL_SPIN=0", peer)
    contestants = [one for one in row.contestants if one.name in names]
    if len(contestants) < len(names):
        contestants.append(no_spin("queue"))
    return replace(row, name=f"{row.name.split('-')[0]}-busy-{number}", title=f"{row.title}, beside {number} busy", target=BUSY,
                   count=count, contestants=[replace(one, times=1) for one in contestants], waits=False,
                   goals=(Goal(peers=names[1:]),), busy=number)


LATENCY = Row("P2", "submit a task, take its result", "us/trip", False, 0.9, "latency", 100_000, 2_000, 0, ONE_TASK, True,
              (Goal(0.79), SHOWN))
BUSY = 1 / 1.2  # at most 1.2 times what it costs without spinning

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
    Row("P1", "submit a million tasks, take their results", "Mtasks/s", True, 0.9, "throughput", TASKS, 20_000, 0,
        POOLS, True, (Goal(8), Goal(times=3), Goal(times=1.2, kinds=(NO_HANDLE,)), BYTES)),
    Row("P1-memory", "peak memory for each of a million queued tasks", "bytes", False, 1, "pending", TASKS, 20_000, 0,
        HANDLES, goals=(Goal(BYTES.figure), SHOWN)),
    LATENCY,
    Row("P2-idle", "the same after an idle second", "us/trip", False, 0.9, "after_idle", 3, 200, 1000, AFTER_IDLE, True,
        (Goal(peers=("rayon spawn, bounded(1) each",)), Goal(peers=("rayon install",))), 10),
    Row("P3", "fork and join, fib(32)", "ms", False, 0.97, "fork", 32, 16, 0, FORKS, True, (Goal(100), SHOWN)),
    Row("P4a", "map over ten million doubles", "ms", False, 0.97, "chunks", 10_000_000, 100_000, 0, MAPS,
        goals=(Goal(times=0.98),)),
    Row("P4b", "a thousand tasks of 1 ms, beside one thread", "%", True, 0.97, "works", 1000, 20, 620_000, MAPS,
        goals=(Goal(99), SHOWN)),
    Row("C1", "submit a million tasks, take them as completed", "Mtasks/s", True, 0.9, "as_completed", TASKS, 20_000, 0,
        [ours("completed"), cpython(times=0.02)], True, (Goal(3), SHOWN)),
    Row("idle", "processor time of an idle pool in 10 s", "us", False, 1, "idle", 10_000, 500, 0, [ours("pool")], True,
        (Goal(0), Goal(0, key="calls"))),
    *(beside_busy(LATENCY, number, 30_000, "pthread pool and futures") for number in (1, 2, 4)),
    *(beside_busy(pingpong_row("semaphore", SEMAPHORES), number, TRIPS, "pthread sem_t") for number in (1, 2, 4)),
    *(beside_busy(queue_row("Q1", "bounded", 1, BOUNDED), number, ITEMS, "pthread mutex+2cond ring") for number in (1, 2, 4)),
]


def choose(names):
    """The rows that are named, in their order here: L4 is all that begin with it."""
    for name in names:
        if not any(row.name.startswith(name) for row in ROWS):
            raise ValueError(f"there is no row '{name}'; --list shows them")
    return [row for row in ROWS if not names or row.name.startswith(tuple(names))]


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


def trace(options, command, environment):
    """What strace says about a run of the program, and the pairs that this prints."""
    with tempfile.NamedTemporaryFile("r") as log:
        pairs = call(["strace", *options, "-f", "-q", "-o", log.name, *command], environment)
        return log.read(), pairs


def syscalls_per_op(command, environment):
    """System calls of one run, start and end of the program included."""
    counts, pairs = trace(["-c"], command, environment)
    total = re.search(r"^\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", counts, re.MULTILINE)
    if total is None:
        raise Failure("strace printed no total")
    return int(total.group(1)) / pairs["ops"]


def syscalls_while_idle(command, environment):
    """System calls that begin or end in other threads while main makes its one call, the pause."""
    log = [line.split(maxsplit=1) for line in trace([], command, environment)[0].splitlines()]
    main = log[0][0]
    pauses = [number for number, (thread, what) in enumerate(log)
              if thread == main and what.startswith("clock_nanosleep(CLOCK_MONOTONIC")]
    if len(pauses) != 1:
        raise Failure("strace does not show the one pause")
    others = itertools.takewhile(lambda line: line[0] != main, log[pauses[0] + 1:])
    return len(list(others)) if "<unfinished" in log[pauses[0]][1] else 0


def count_syscalls(row, runs, options):
    """Adds `calls` to the runs of a row that waits."""
    idle = row.mode == "idle"
    for one in row.contestants:
        command = one.command(options.programs, row, options.quick or not idle)
        calls = (syscalls_while_idle if idle else syscalls_per_op)(command, one.environment)
        for run in runs[one.name]:
            run["calls"] = calls


def stolen():
    """Seconds that the hypervisor gave to others, of all processors."""
    with open("/proc/stat") as stat:
        return int(stat.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def busy_processes(number):
    """Processes that want a processor until the block ends."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(row, options):
    """Runs by contestant: a round for warming up, then rounds that begin with another contestant each time."""
    runs = {contestant.name: [] for contestant in row.contestants}
    for number in range(options.rounds + 1):
        turn = number % len(row.contestants)
        for contestant in row.contestants[turn:] + row.contestants[:turn]:
            with busy_processes(row.busy):
                pairs = call(contestant.command(options.programs, row, options.quick), contestant.environment)
            if pairs["unit"] != row.unit:
                raise Failure(f"{contestant.name}: prints {pairs['unit']}, the row is in {row.unit}")
            if number > 0:
                runs[contestant.name].append(pairs)
    return runs


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def ratio(higher_is_better, mine, theirs):
    """At least 1: mine is better."""
    if mine == theirs:
        return 1.0
    above, below = (mine, theirs) if higher_is_better else (theirs, mine)
    return above / below if below != 0 else math.inf


def digits(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def table(row, runs):
    """Header and lines, best first."""
    extras = [key for key in ("fairness", "alive", "bytes", "rss_mb") if key in runs[row.contestants[0].name][0]]
    if not row.name.startswith(MEMORY_IS_SHOWN):
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
                     f"{median(mine, 'calls'):.3f}" if "calls" in mine[0] else "-"]
        lines.append(line)
    return [head] + lines


def print_table(lines):
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [cell.ljust(width) if column < 2 else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(line, widths))]
        print(("  " + "  ".join(cells)).rstrip())


def yardstick(row, goal, mine, runs):
    """What ours is compared with: its name and its figure."""
    if goal.figure is not None:
        return f"{goal.figure:g} {row.unit if goal.key == 'value' else goal.key}", goal.figure
    # Told not to spin, ours is compared with those who do not either.
    kinds = (SLEEPS,) if "SPOOL_SPIN" in mine.environment else goal.kinds
    peers = [one for one in row.contestants if (one.name in goal.peers if goal.peers else one.kind in kinds)]
    pick = max if row.higher_is_better else min
    best = pick(peers, key=lambda one: median(runs[one.name], "value"))
    times = goal.times if row.higher_is_better else 1 / goal.times
    return best.name if goal.times == 1 else f"{goal.times:g} x {best.name}", times * median(runs[best.name], "value")


def verdict(row, goal, mine, runs, options):
    """A sentence; met or not is said only when the run counts."""
    name, theirs = yardstick(row, goal, mine, runs)
    is_to = ratio(row.higher_is_better and goal.key == "value", median(runs[mine.name], goal.key), theirs)
    target = row.target if goal.target is None else goal.target
    counts = options.rounds >= ROUNDS_THAT_COUNT and not options.quick
    met = (": met" if is_to >= target else ": not met") if counts else ""
    judged = f"; target {target:g}{met}" if target > 0 else ""
    return f"  {mine.name} against {name}: {is_to:.3f} (1 or more: spool is better{judged})"


def verdicts(row, runs, options):
    for mine in (one for one in row.contestants if one.kind == OURS):
        for goal in row.goals:
            # Figures are for full counts, and for spool as it comes.
            if goal.figure is not None and (options.quick or mine.environment) or mine.name in goal.peers:
                continue
            if goal.key in runs[mine.name][0]:
                print(verdict(row, goal, mine, runs, options))


def run_row(row, options):
    direction = "higher is better" if row.higher_is_better else "lower is better"
    before = stolen()
    runs = measure(row, options)
    lost = stolen() - before
    if row.waits and options.strace:
        count_syscalls(row, runs, options)
    print(f"{row.name}  {row.title}: {row.unit}, {direction}; rounds {options.rounds}, stolen by the host {lost:.1f} s")
    print_table(table(row, runs))
    verdicts(row, runs, options)
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
    parser.add_argument("rows", metavar="ROW", nargs="*", help="L1, L4-event, ...; L4: all that begin so; none: all")
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
