/* P4 with oneTBB's parallel_for and parallel_reduce.

   SPDX-License-Identifier: MIT */
#include <functional>
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/parallel_reduce.h>
#include <oneapi/tbb/task_arena.h>
#include "../chunk.h"

static void the_chunks(const struct chunk *chunks)
{
    tbb::parallel_for(0, CHUNKS, [chunks](int k) { chunk_run(&chunks[k]); });
}

static uint64_t work_range(const tbb::blocked_range<uint64_t> &range, uint64_t sum)
{
    for (uint64_t i = range.begin(); i != range.end(); i++)
        sum += work_run(i);
    return sum;
}

static uint64_t the_works(uint64_t n)
{
    return tbb::parallel_reduce(tbb::blocked_range<uint64_t>(0, n), UINT64_C(0), work_range, std::plus<uint64_t>());
}

static void the_pool_run(void (*body)(void))
{
    tbb::task_arena arena(BENCH_WORKERS); /* the caller is one of them */
    arena.execute(body);
}

#include "../map.h"
