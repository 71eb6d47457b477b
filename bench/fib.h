/* P3: fork and join.  fib(n) without a cut-off: a task for fib(n - 1), then fib(n - 2), then the result of the task.

   The contestant defines the_pool_run(), which calls a function while a pool of two threads is there, and the_fib(), which
   has that pool find fib(n) and waits.

       PROGRAM fork N                     ms, after fib(min(N, 20)) for warming up

   SPDX-License-Identifier: MIT */
#ifndef BENCH_FIB_H
#define BENCH_FIB_H

#include "bench.h"

#define WARMING 20

static unsigned fib_of;

static uint64_t fib_in_a_loop(unsigned n)
{
    uint64_t this_one = 0, next = 1;
    for (unsigned i = 0; i < n; i++) {
        uint64_t sum = this_one + next;
        this_one = next;
        next = sum;
    }
    return this_one;
}

static void check_fib(unsigned n)
{
    bench_check(the_fib(n) == fib_in_a_loop(n), "fib is wrong");
}

static void measure(void)
{
    check_fib(fib_of < WARMING ? fib_of : WARMING);
    struct bench_clock begin = bench_clock_now();
    check_fib(fib_of);
    struct bench_clock passed = bench_clock_since(begin);
    uint64_t tasks = fib_in_a_loop(fib_of + 1) - 1; /* T(n) = 1 + T(n - 1) + T(n - 2) */
    bench_print(passed.wall * 1e3, "ms", passed, tasks);
    printf("\n");
}

int main(int argc, char **argv)
{
    struct bench_args args = bench_arguments(argc, argv);
    bench_check(bench_mode(&args, "fork"), "no such mode");
    bench_check(args.count >= 2 && args.count < 90, "fib of 2 to 89");
    fib_of = (unsigned)args.count;
    the_pool_run(measure);
    return 0;
}

#endif
