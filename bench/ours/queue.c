/* Q1, Q2 with sp_queue, one item at a time.

   SPDX-License-Identifier: MIT */
#include <spool.h>
#include "../bench.h"

typedef sp_queue *the_queue;

static void the_queue_init(the_queue *queue, size_t capacity)
{
    *queue = sp_queue_of(uint64_t, .maxsize = capacity);
    bench_check(*queue != NULL, "no queue");
}

static inline void the_queue_put(the_queue *queue, uint64_t item)
{
    bench_check(sp_put(*queue, &item, SP_FOREVER) == SP_OK, "put failed");
}

static inline uint64_t the_queue_get(the_queue *queue)
{
    uint64_t item = 0;
    bench_check(sp_get(*queue, &item, SP_FOREVER) == SP_OK, "get failed");
    return item;
}

#include "../queue.h"
