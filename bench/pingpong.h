/* L4: two threads take turns.

   The including header defines round_trip() and answer(), one side each.

       PROGRAM pingpong TRIPS             round trips per second, after a tenth as many for warming up

   SPDX-License-Identifier: MIT */
#ifndef BENCH_PINGPONG_H
#define BENCH_PINGPONG_H

#include "bench.h"

static void round_trip(void);
static void answer(void);

static void *answer_all(void *argument)
{
    uint64_t trips = *(const uint64_t *)argument;
    for (uint64_t i = 0; i < trips; i++)
        answer();
    return NULL;
}

static inline int pingpong(int argc, char **argv)
{
    struct bench_args args = bench_arguments(argc, argv);
    bench_check(bench_mode(&args, "pingpong"), "no such mode");
    uint64_t warming = args.count / 10, all = args.count + warming;
    pthread_t other;
    bench_start(&other, answer_all, &all);
    for (uint64_t i = 0; i < warming; i++)
        round_trip();
    struct bench_clock begin = bench_clock_now();
    for (uint64_t i = 0; i < args.count; i++)
        round_trip();
    struct bench_clock passed = bench_clock_since(begin);
    pthread_join(other, NULL);
    bench_print((double)args.count / passed.wall, "trips/s", passed, args.count);
    printf("\n");
    return 0;
}

#endif
