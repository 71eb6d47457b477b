/* P4 with a pool and futures written by hand.

   SPDX-License-Identifier: MIT */
#include "pthread_pool.h"
#include "../chunk.h"

static const struct chunk *all_chunks;

static uint64_t run_chunk(uint64_t k)
{
    chunk_run(&all_chunks[k]);
    return 0;
}

static uint64_t run_all(uint64_t (*run)(uint64_t), uint64_t n)
{
    struct future **futures = (struct future **)bench_array(n, sizeof *futures);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++)
        futures[i] = pool_submit(run, i);
    for (uint64_t i = 0; i < n; i++)
        sum += pool_result(futures[i]);
    free(futures);
    return sum;
}

static void the_chunks(const struct chunk *chunks)
{
    all_chunks = chunks;
    run_all(run_chunk, CHUNKS);
}

static uint64_t the_works(uint64_t n)
{
    return run_all(work_run, n);
}

#include "../map.h"
