/* Futures and pools, with n tasks or n that wait.

   SPDX-License-Identifier: MIT */
#include "growth/growth.h"

#include <spool.h>

static sp_executor *pool;

static int same(int x)
{
    return x;
}
SP_FUNCTION(same, int, int);

static void open_pool(void)
{
    growth_expect((pool = sp_thread_pool(.max_workers = 2)) != NULL);
}

static void close_pool(void)
{
    growth_expect(sp_shutdown(pool) == SP_OK);
    sp_executor_release(pool);
}

static sp_future **submit_many(long n)
{
    sp_future **futures = calloc((size_t)n, sizeof(sp_future *));
    growth_expect(futures != NULL);
    for (long i = 0; i < n; i++)
        futures[i] = sp_submit(pool, same, (int)i);
    return futures;
}

static void submit_and_wait(long n)
{
    open_pool();
    growth_begin();
    sp_future **futures = submit_many(n);
    growth_expect(sp_wait(futures, (size_t)n, SP_ALL_COMPLETED, SP_FOREVER) == SP_OK);
    sp_release_all(futures, (size_t)n);
    free(futures);
    growth_end();
    close_pool();
}

static void as_completed(long n)
{
    open_pool();
    growth_begin();
    sp_future **futures = submit_many(n);
    sp_completion *completion = sp_as_completed(futures, (size_t)n, SP_FOREVER);
    for (long i = 0; i < n; i++)
        growth_expect(sp_next(completion) != NULL);
    sp_completion_release(completion);
    sp_release_all(futures, (size_t)n);
    growth_end();
    free(futures);
    close_pool();
}

static void map(long n)
{
    int *numbers = calloc((size_t)n, sizeof *numbers);
    open_pool();
    growth_begin();
    growth_expect(sp_map(pool, same, numbers, numbers, (size_t)n) == SP_OK);
    growth_end();
    close_pool();
    free(numbers);
}

static bool next_number(void *context, void *ret_arg)
{
    long *left = context;
    *(int *)ret_arg = (int)*left;
    return (*left)-- > 0;
}

static void map_lazy(long n)
{
    long left = n;
    open_pool();
    growth_begin();
    sp_mapping *mapping = sp_map_lazy(pool, same, next_number, &left);
    while (sp_map_next(mapping, (int *)NULL, SP_FOREVER) == SP_OK)
        continue;
    sp_mapping_release(mapping);
    growth_end();
    close_pool();
}

static void make_lazy_maps(long n)
{
    long left = 0;
    open_pool();
    growth_begin();
    for (long i = 0; i < n; i++)
        sp_mapping_release(sp_map_lazy(pool, same, next_number, &left));
    growth_end();
    close_pool();
}

/* ---- tasks that wait for tasks ---- */

static sp_status nested(const int *depth, int *ret);
SP_TASK(nested, int, int);
static sp_status nested(const int *depth, int *ret)
{
    *ret = 0;
    if (*depth == 0)
        return SP_OK;
    sp_future *future = sp_submit(pool, nested, *depth - 1);
    sp_status status = sp_result(future, ret, SP_FOREVER);
    sp_future_release(future);
    ++*ret;
    return status;
}

static void nested_results(long n)
{
    int result;
    open_pool();
    growth_begin();
    sp_future *future = sp_submit(pool, nested, (int)n);
    growth_expect(sp_result(future, &result, SP_FOREVER) == SP_OK && result == n);
    sp_future_release(future);
    growth_end();
    close_pool();
}

static sp_status nested_in_wait(const int *depth, int *ret);
SP_TASK(nested_in_wait, int, int);
static sp_status nested_in_wait(const int *depth, int *ret)
{
    *ret = *depth;
    if (*depth == 0)
        return SP_OK;
    sp_future *future = sp_submit(pool, nested_in_wait, *depth - 1);
    sp_status status = sp_wait(&future, 1, SP_ALL_COMPLETED, SP_FOREVER);
    if (status == SP_OK)
        status = sp_result(future, NULL, SP_NOWAIT);
    sp_future_release(future);
    return status;
}

static void nested_waits(long n)
{
    open_pool();
    growth_begin();
    sp_future *future = sp_submit(pool, nested_in_wait, (int)n);
    growth_expect(sp_result(future, NULL, SP_FOREVER) == SP_OK);
    sp_future_release(future);
    growth_end();
    close_pool();
}

/* ---- what a future is told and tells ---- */

static void count_call(sp_future *future, void *context)
{
    (void)future;
    ++*(long *)context;
}

static void callbacks(long n)
{
    long calls = 0;
    sp_future *future = sp_future_new(&same_sp_task, &(int){ 1 });
    growth_begin();
    for (long i = 0; i < n; i++)
        sp_future_add_done_callback(future, count_call, &calls);
    growth_expect(sp_future_cancel(future));
    growth_end();
    growth_expect(calls == n);
    sp_future_release(future);
}

/* The oldest sets go first, then the future ends, then the others go. */
static void sets(long n)
{
    sp_future *future = sp_future_new(&same_sp_task, &(int){ 1 });
    sp_completion **made = calloc((size_t)n, sizeof *made);
    growth_begin();
    for (long i = 0; i < n; i++)
        made[i] = sp_as_completed((sp_future *[]){ future, future }, 2, SP_FOREVER);
    for (long i = 0; i < n / 2; i++)
        sp_completion_release(made[i]);
    growth_expect(sp_future_cancel(future));
    for (long i = n / 2; i < n; i++) {
        growth_expect(sp_next(made[i]) == future);
        growth_expect(sp_next(made[i]) == NULL);
        sp_completion_release(made[i]);
    }
    growth_end();
    sp_future_release(future);
    free(made);
}

/* One set of n futures, each of which many other sets watch. */
static void a_set_of_watched(long n)
{
    enum { OTHERS = 20 };
    sp_future **futures = calloc(2 * (size_t)n, sizeof *futures);
    sp_completion *others[OTHERS];
    for (long i = 0; i < n; i++)
        futures[i] = futures[n + i] = sp_future_new(&same_sp_task, &(int){ 1 });
    for (int i = 0; i < OTHERS; i++)
        others[i] = sp_as_completed(futures, (size_t)n, SP_FOREVER);
    growth_begin();
    sp_completion *set = sp_as_completed(futures, 2 * (size_t)n, SP_FOREVER);
    growth_end();
    long given = 0;
    for (long i = 0; i < n; i++)
        growth_expect(sp_future_cancel(futures[i]));
    while (sp_next(set) != NULL)
        given++;
    growth_expect(given == n && sp_completion_status(set) == SP_OK);
    for (int i = 0; i < OTHERS; i++)
        sp_completion_release(others[i]);
    sp_completion_release(set);
    sp_release_all(futures, (size_t)n);
    free(futures);
}

static void end_next(sp_future *future, void *context)
{
    (void)future;
    growth_expect(sp_future_cancel(context));
}

static void a_chain_of_callbacks(long n)
{
    sp_future **futures = calloc((size_t)n, sizeof *futures);
    for (long i = 0; i < n; i++)
        futures[i] = sp_future_new(&same_sp_task, &(int){ 1 });
    for (long i = 0; i + 1 < n; i++)
        sp_future_add_done_callback(futures[i], end_next, futures[i + 1]);
    growth_begin();
    growth_expect(sp_future_cancel(futures[0]));
    growth_expect(sp_future_cancelled(futures[n - 1]));
    growth_end();
    sp_release_all(futures, (size_t)n);
    free(futures);
}

static sp_event gate;

static int wait_at_gate(int x)
{
    sp_event_wait(&gate, SP_FOREVER);
    return x;
}
SP_FUNCTION(wait_at_gate, int, int);

static void cancel_queued(long n)
{
    open_pool();
    sp_future *holders[] = { sp_submit(pool, wait_at_gate, 1), sp_submit(pool, wait_at_gate, 2) };
    sp_future **futures = submit_many(n);
    growth_begin();
    for (long i = 0; i < n; i++)
        growth_expect(sp_future_cancel(futures[i]));
    sp_release_all(futures, (size_t)n);
    growth_end();
    sp_event_set(&gate);
    sp_release_all(holders, 2);
    close_pool();
    free(futures);
}

/* clang-format off */
GROWTH_TABLE(
    { "submit n tasks and wait for them", submit_and_wait, .n = 100, .exponent = 1 },
    { "n futures as they are completed", as_completed, .n = 100, .exponent = 1 },
    { "map n inputs", map, .n = 100, .exponent = 1 },
    { "map n inputs lazily", map_lazy, .n = 100, .exponent = 1 },
    { "n lazy maps without inputs", make_lazy_maps, .n = 10, .exponent = 1, .unit = GROWTH_CPU },
    { "results nested n deep", nested_results, .n = 100, .exponent = 1 },
    { "waits nested n deep", nested_waits, .n = 100, .exponent = 1 },
    { "n callbacks on one future", callbacks, .n = 100, .exponent = 1 },
    { "n sets on one future", sets, .n = 100, .exponent = 1 },
    { "a set of n futures that others watch", a_set_of_watched, .n = 100, .exponent = 1 },
    { "callbacks that end the next of n futures", a_chain_of_callbacks, .n = 100, .exponent = 1 },
    { "cancel n queued futures", cancel_queued, .n = 100, .exponent = 1 }
)
