/* Pools: what is left in them, and what n of something costs those who come after.

   SPDX-License-Identifier: MIT */
#include "growth/growth.h"

#include <spool.h>

enum { OPERATIONS = 100, STACK = 65536 };

static sp_executor *pool;
static sp_event gate;
static long arrived; /* atomic */

static int same(int x)
{
    return x;
}
SP_FUNCTION(same, int, int);

static void open_pool(unsigned workers)
{
    growth_expect((pool = sp_thread_pool(.max_workers = workers, .stack_size = STACK)) != NULL);
}

static void close_pool(void)
{
    growth_expect(sp_shutdown(pool) == SP_OK);
    sp_executor_release(pool);
}

static void result_of(sp_future *future)
{
    growth_expect(sp_result(future, NULL, SP_FOREVER) == SP_OK);
    sp_future_release(future);
}

/* ---- memory ---- */

/* One task submits n others, one after the other, and waits for each, which it runs itself. */
static sp_status run_many(const long *n, sp_none *none)
{
    (void)none;
    for (long i = 0; i < *n; i++)
        result_of(sp_submit(pool, same, (int)i));
    growth_end();
    return SP_OK;
}
SP_TASK(run_many, long, sp_none);

static void tasks_run_by_their_waiter(long n)
{
    open_pool(1);
    result_of(sp_submit(pool, same, 1));
    growth_begin();
    result_of(sp_submit(pool, run_many, n));
    close_pool();
}

static int wait_at_gate(int x)
{
    __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
    sp_event_wait(&gate, SP_FOREVER);
    return x;
}
SP_FUNCTION(wait_at_gate, int, int);

static void cancelled_in_the_queue(long n)
{
    open_pool(1);
    sp_future *holder = sp_submit(pool, wait_at_gate, 1);
    growth_begin();
    for (long i = 0; i < n; i++) {
        sp_future *future = sp_submit(pool, same, (int)i);
        growth_expect(sp_future_cancel(future));
        sp_future_release(future);
    }
    growth_end();
    sp_event_set(&gate);
    result_of(holder);
    close_pool();
}

/* ---- threads ---- */

/* Each of n tasks of a pool with two workers waits for the one that runs. */
static sp_status wait_for_it(sp_future *const *in, int *ret)
{
    __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
    return sp_result(*in, ret, SP_FOREVER);
}
typedef sp_future *future_handle;
SP_TASK(wait_for_it, future_handle, int);

static void tasks_that_wait_for_one(long n)
{
    sp_future **waiting = calloc((size_t)n, sizeof(sp_future *));
    open_pool(2);
    sp_future *one = sp_submit(pool, wait_at_gate, 1);
    growth_await(__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) == 1);
    growth_begin();
    for (long i = 0; i < n; i++)
        waiting[i] = sp_submit(pool, wait_for_it, one);
    growth_await(__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) > 30); /* no more than so many are compensated for */
    sp_event_set(&gate);
    growth_expect(sp_wait(waiting, (size_t)n, SP_ALL_COMPLETED, SP_FOREVER) == SP_OK);
    growth_end();
    sp_release_all(waiting, (size_t)n);
    free(waiting);
    sp_future_release(one);
    close_pool();
}

/* ---- large results ---- */

static void submits_with_results_of_n_kib(long n)
{
    enum { SUBMITS = 20 };
    sp_task task = same_sp_task;
    task.result_size = (size_t)n * 1024;
    sp_future *futures[SUBMITS];
    open_pool(1);
    sp_future *holder = sp_submit(pool, wait_at_gate, 1);
    growth_begin();
    for (int i = 0; i < SUBMITS; i++)
        futures[i] = sp_executor_submit(pool, &task, &i);
    growth_end();
    for (int i = 0; i < SUBMITS; i++)
        growth_expect(sp_future_cancel(futures[i]));
    sp_release_all(futures, SUBMITS);
    sp_event_set(&gate);
    result_of(holder);
    close_pool();
}

/* ---- what others have to look at ---- */

static sp_status submit_and_wait_at_gate(const int *x, int *ret)
{
    *ret = *x;
    sp_future *own = sp_submit(pool, same, *x); /* into a deque of the worker's own */
    wait_at_gate(1);
    result_of(own);
    return SP_OK;
}
SP_TASK(submit_and_wait_at_gate, int, int);

static void tasks_beside_idle_workers(long n)
{
    sp_future **futures = calloc((size_t)n, sizeof(sp_future *));
    growth_expect((pool = sp_thread_pool(.max_workers = (unsigned)n, .stack_size = STACK)) != NULL);
    for (long i = 0; i < n; i++)
        futures[i] = sp_submit(pool, submit_and_wait_at_gate, (int)i);
    growth_await(__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) >= n);
    sp_event_set(&gate);
    growth_expect(sp_wait(futures, (size_t)n, SP_ALL_COMPLETED, SP_FOREVER) == SP_OK);
    growth_begin();
    for (int i = 0; i < OPERATIONS; i++)
        result_of(sp_submit(pool, same, i));
    growth_end();
    sp_release_all(futures, (size_t)n);
    free(futures);
    close_pool();
}

/* clang-format off */
GROWTH_TABLE(
    { "memory left by n tasks that their waiter ran", tasks_run_by_their_waiter, .n = 1000, .exponent = 0, .unit = GROWTH_BYTES },
    { "memory left by n cancelled futures of a busy pool", cancelled_in_the_queue, .n = 1000, .exponent = 0, .unit = GROWTH_BYTES },
    { "threads for n tasks that wait for one", tasks_that_wait_for_one, .n = 50, .exponent = 0, .unit = GROWTH_THREADS },
    { "20 submits with results of n KiB", submits_with_results_of_n_kib, .n = 200, .exponent = 0, .unit = GROWTH_CPU },
    { "100 tasks beside n idle workers, each with a deque", tasks_beside_idle_workers, .n = 5, .exponent = 0.25 } /* a word for 64 of them */
)
