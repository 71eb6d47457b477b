/* P4 with loops of OpenMP.

   SPDX-License-Identifier: MIT */
#include "../chunk.h"

static void the_chunks(const struct chunk *chunks)
{
#pragma omp parallel for schedule(dynamic, 1) num_threads(BENCH_WORKERS)
    for (int k = 0; k < CHUNKS; k++)
        chunk_run(&chunks[k]);
}

static uint64_t the_works(uint64_t n)
{
    uint64_t sum = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(BENCH_WORKERS) reduction(+ : sum)
    for (uint64_t i = 0; i < n; i++)
        sum += work_run(i);
    return sum;
}

static void the_pool_run(void (*body)(void))
{
    body(); /* each loop has its two threads, which stay */
}

#include "../map.h"
