/* P4 with sp_map over the chunks, and sp_submit of each piece of work.

   SPDX-License-Identifier: MIT */
#include "executor.h"
#include "../chunk.h"

static sp_status map_chunk(const struct chunk *chunk, sp_none *unused)
{
    (void)unused;
    chunk_run(chunk);
    return SP_OK;
}
SP_TASK(map_chunk, struct chunk, sp_none);
SP_FUNCTION(work_run, uint64_t, uint64_t);

static void the_chunks(const struct chunk *chunks)
{
    sp_none nothing[CHUNKS];
    bench_check(sp_map(pool, map_chunk, chunks, nothing, CHUNKS) == SP_OK, "the map failed");
}

static uint64_t the_works(uint64_t n)
{
    sp_future **futures = (sp_future **)bench_array(n, sizeof *futures);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++)
        futures[i] = sp_submit(pool, work_run, i);
    bench_check(sp_wait(futures, n, SP_ALL_COMPLETED, SP_FOREVER) == SP_OK, "the wait failed"); /* one sleep, not n */
    for (uint64_t i = 0; i < n; i++)
        sum += pool_result(futures[i]);
    free(futures);
    return sum;
}

#include "../map.h"
