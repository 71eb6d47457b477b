/* P4: work that divides evenly.

   The contestant defines the_pool_run(), which calls a function while a pool of two threads is there; the_chunks(), which
   has chunk_run() called for each of CHUNKS chunks and waits; the_works(), which has work_run(i) called for i from 0 to
   n - 1, each as a task, and returns the sum of what they returned.

       PROGRAM chunks DOUBLES             ms for a pass over that many, mean of 10 after 2 for warming up
       PROGRAM works COUNT STEPS          speed beside one thread, in percent of twice as fast

   SPDX-License-Identifier: MIT */
#ifndef BENCH_MAP_H
#define BENCH_MAP_H

#include "chunk.h"

#define WARMING 2
#define PASSES 10

static struct bench_args args;

static void cut(struct chunk *ret_chunks, const double *in, double *out)
{
    for (size_t k = 0; k < CHUNKS; k++) {
        size_t begin = args.count * k / CHUNKS, end = args.count * (k + 1) / CHUNKS;
        struct chunk chunk = { in + begin, out + begin, end - begin };
        ret_chunks[k] = chunk;
    }
}

static double *doubles(void)
{
    double *in = (double *)bench_array(args.count, sizeof *in);
    for (uint64_t i = 0; i < args.count; i++)
        in[i] = (double)i;
    return in;
}

static void check_doubles(const double *out)
{
    for (uint64_t i = 0; i < args.count; i++)
        bench_check(out[i] == chunk_function((double)i), "the map is wrong");
    bench_check(chunks_done == (WARMING + PASSES) * CHUNKS, "not every chunk was done in every pass");
}

static void run_chunks(void)
{
    static struct chunk chunks[CHUNKS];
    double *in = doubles(), *out = (double *)bench_array(args.count, sizeof *out);
    cut(chunks, in, out);
    for (int i = 0; i < WARMING; i++)
        the_chunks(chunks);
    struct bench_clock begin = bench_clock_now();
    for (int i = 0; i < PASSES; i++)
        the_chunks(chunks);
    struct bench_clock passed = bench_clock_since(begin);
    check_doubles(out);
    bench_print(passed.wall * 1e3 / PASSES, "ms", passed, PASSES);
    printf("\n");
    free(in);
    free(out);
}

static uint64_t works_one_by_one(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < args.count; i++)
        sum += work_run(i);
    return sum;
}

static void run_works(void)
{
    work_steps = (unsigned)args.extra;
    struct bench_clock begin = bench_clock_now();
    uint64_t sum = works_one_by_one();
    double serial = bench_clock_since(begin).wall;
    begin = bench_clock_now();
    bench_check(the_works(args.count) == sum, "the sum of the results is wrong");
    struct bench_clock passed = bench_clock_since(begin);
    bench_print(100 * serial / (2 * passed.wall), "%", passed, args.count);
    printf("\n");
}

int main(int argc, char **argv)
{
    args = bench_arguments(argc, argv);
    bool chunks = bench_mode(&args, "chunks");
    bench_check(chunks || bench_mode(&args, "works"), "no such mode");
    the_pool_run(chunks ? run_chunks : run_works);
    return 0;
}

#endif
