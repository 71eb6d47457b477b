/* T1, T2: threads that do nothing, threads that sleep.

   The contestant defines the type the_thread and the_thread_start() (stack 0: the default), the_thread_join(),
   the_thread_sleep().

       PROGRAM create COUNT STACK         us to start a thread and join it, one at a time
       PROGRAM sleepers COUNT STACK       seconds for that many at once, each asleep for 500 ms

   SPDX-License-Identifier: MIT */
#ifndef BENCH_THREAD_H
#define BENCH_THREAD_H

#include "bench.h"

#define SLEEP 0.5

static uint64_t ran, asleep, most_asleep;

static void do_nothing(void)
{
    __atomic_add_fetch(&ran, 1, __ATOMIC_RELAXED);
}

static void sleep_once(void)
{
    uint64_t now = __atomic_add_fetch(&asleep, 1, __ATOMIC_RELAXED);
    uint64_t most = __atomic_load_n(&most_asleep, __ATOMIC_RELAXED);
    while (most < now &&
           !__atomic_compare_exchange_n(&most_asleep, &most, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    the_thread_sleep(SLEEP);
    __atomic_sub_fetch(&asleep, 1, __ATOMIC_RELAXED);
    do_nothing();
}

static void create(uint64_t count, size_t stack)
{
    struct bench_clock begin = bench_clock_now();
    for (uint64_t i = 0; i < count; i++) {
        the_thread thread;
        bench_check(the_thread_start(&thread, do_nothing, stack), "no thread");
        the_thread_join(&thread);
    }
    struct bench_clock passed = bench_clock_since(begin);
    bench_print(passed.wall * 1e6 / (double)count, "us/thread", passed, count);
    printf("\n");
}

static void sleepers(uint64_t count, size_t stack)
{
    the_thread *threads = (the_thread *)calloc(count, sizeof *threads);
    bench_check(threads != NULL, "no memory");
    struct bench_clock begin = bench_clock_now();
    for (uint64_t i = 0; i < count; i++)
        bench_check(the_thread_start(&threads[i], sleep_once, stack), "no thread");
    for (uint64_t i = 0; i < count; i++)
        the_thread_join(&threads[i]);
    struct bench_clock passed = bench_clock_since(begin);
    free(threads);
    bench_print(passed.wall, "s", passed, count);
    printf(" alive=%" PRIu64 "\n", most_asleep);
}

int main(int argc, char **argv)
{
    struct bench_args args = bench_arguments(argc, argv);
    bool sleeping = bench_mode(&args, "sleepers");
    bench_check(sleeping || bench_mode(&args, "create"), "no such mode");
    (sleeping ? sleepers : create)(args.count, (size_t)args.extra);
    bench_check(ran == args.count, "not every thread ran");
    return 0;
}

#endif
