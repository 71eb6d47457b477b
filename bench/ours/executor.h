/* The pool of ours, as pool.h, fib.h and map.h want it.

   SPDX-License-Identifier: MIT */
#ifndef BENCH_EXECUTOR_H
#define BENCH_EXECUTOR_H

#include <spool.h>
#include "../bench.h"

static sp_executor *pool;

static void the_pool_run(void (*body)(void))
{
    pool = sp_thread_pool(.max_workers = BENCH_WORKERS);
    body();
    bench_check(sp_shutdown(pool) == SP_OK, "shutdown failed");
    sp_executor_release(pool);
}

/* The result of a future that is not needed any more. */
static inline uint64_t pool_result(sp_future *future)
{
    uint64_t value = 0;
    bench_check(sp_result(future, &value, SP_FOREVER) == SP_OK, "the task failed");
    sp_future_release(future);
    return value;
}

#endif
