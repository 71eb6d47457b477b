#!/usr/bin/python3
"""CPython's ThreadPoolExecutor in P1, P2 and C1: `bench-python CONTESTANT MODE COUNT [EXTRA]`, as the programs in C.

SPDX-License-Identifier: MIT
"""

import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

WORKERS = 2
ran_there = 0  # tasks that ran in the submitter's thread
submitter = threading.get_ident()


def task(i):
    global ran_there
    if threading.get_ident() == submitter:
        ran_there += 1
    return i


def check(holds, what):
    if not holds:
        sys.exit(f"bench: {what}")


def memory(name):
    """A line of /proc/self/status in MB: "VmHWM", the most memory so far, or "VmRSS", what there is now."""
    with open("/proc/self/status") as status:
        return int(dict(line.split(":", 1) for line in status)[name].split()[0]) / 1024


class Clock:
    """What the process has used so far."""

    def __init__(self):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.wall, self.cpu, self.switches = time.monotonic(), usage.ru_utime + usage.ru_stime, usage.ru_nvcsw


def report(begin, end, value, unit, ops, more=""):
    print(f"value={value:.6f} unit={unit} cpu={end.cpu - begin.cpu:.4f} ops={ops} "
          f"switches={end.switches - begin.switches} rss_mb={memory('VmHWM'):.2f}{more}")


def submit_and_take(pool, count, take):
    """take(futures) is the sum of the results."""
    futures = [None] * count
    before = memory("VmRSS")
    begin = Clock()
    for i in range(count):
        futures[i] = pool.submit(task, i)
    total = take(futures)
    end = Clock()
    check(total == count * (count - 1) // 2, "the sum of the results is wrong")
    each = (memory("VmHWM") - before) * 1024 * 1024 / count
    report(begin, end, count / (end.wall - begin.wall) / 1e6, "Mtasks/s", count, f" bytes={each:.1f}")


def throughput(pool, count):
    submit_and_take(pool, count, lambda futures: sum(future.result() for future in futures))


def completed(pool, count):
    submit_and_take(pool, count, lambda futures: sum(future.result() for future in as_completed(futures)))


def round_trips(pool, count):
    for i in range(count):
        check(pool.submit(task, i).result() == i, "the result is wrong")


def latency(pool, count):
    round_trips(pool, count // 10)
    begin = Clock()
    round_trips(pool, count)
    end = Clock()
    report(begin, end, (end.wall - begin.wall) * 1e6 / count, "us/trip", count)


MODES = {"throughput": throughput, "as_completed": completed, "latency": latency}


def main(contestant, mode, count, _extra="0"):
    check(contestant == "executor" and mode in MODES, "no such contestant or mode")
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        MODES[mode](pool, int(count))
    check(ran_there == 0, "the submitter's thread ran tasks")


main(*sys.argv[1:])
