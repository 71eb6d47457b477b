/* Threads, locks and timers, beside n others.

   SPDX-License-Identifier: MIT */
#include "growth/growth.h"

#include <spool.h>

enum { OPERATIONS = 100 }; /* of which the cost is measured beside n of something else */

static sp_lock lock;
static sp_event ends;

static int nothing(int x)
{
    return x;
}
SP_FUNCTION(nothing, int, int);

static int wait_for_end(int x)
{
    sp_event_wait(&ends, SP_FOREVER);
    return x;
}
SP_FUNCTION(wait_for_end, int, int);

static void *pass_lock(void *arg)
{
    sp_lock_acquire(&lock);
    sp_lock_release(&lock);
    return arg;
}

static void threads_pass_a_lock(long n)
{
    sp_lock_acquire(&lock);
    pthread_t *threads = growth_sleepers(n, pass_lock, NULL);
    growth_begin();
    sp_lock_release(&lock);
    growth_join(threads, n);
    growth_end();
}

static sp_thread *start_small(long n, sp_thread **threads)
{
    for (long i = 0; i < n; i++)
        growth_expect((threads[i] = sp_start_with(SP_THREAD(.stack_size = 65536), wait_for_end, 0)) != NULL);
    return n > 0 ? threads[0] : NULL;
}

static void end_all(long n, sp_thread **threads)
{
    sp_event_set(&ends);
    for (long i = 0; i < n; i++) {
        growth_expect(sp_join(threads[i], NULL, SP_FOREVER) == SP_OK);
        sp_thread_release(threads[i]);
    }
    free(threads);
}

static void start_and_join_beside(long n)
{
    sp_thread **threads = calloc((size_t)n, sizeof(sp_thread *));
    (void)start_small(n, threads);
    growth_begin();
    for (int i = 0; i < OPERATIONS; i++) {
        sp_thread *thread = sp_start(nothing, i);
        growth_expect(sp_join(thread, NULL, SP_FOREVER) == SP_OK);
        sp_thread_release(thread);
    }
    growth_end();
    end_all(n, threads);
}

static void start_and_end(long n)
{
    sp_thread **threads = calloc((size_t)n, sizeof(sp_thread *));
    growth_begin();
    (void)start_small(n, threads);
    end_all(n, threads);
    growth_end();
}

static void join_all(long n)
{
    sp_thread **threads = calloc((size_t)n, sizeof(sp_thread *));
    (void)start_small(n, threads);
    for (long i = 0; i < n; i++)
        sp_thread_release(threads[i]);
    free(threads);
    growth_begin();
    sp_event_set(&ends);
    growth_expect(sp_join_all(SP_FOREVER));
    growth_end();
}

static void enumerate(long n)
{
    sp_thread **threads = calloc((size_t)n, sizeof(sp_thread *)), **seen = calloc((size_t)n + 1, sizeof(sp_thread *));
    (void)start_small(n, threads);
    growth_begin();
    size_t count = sp_thread_enumerate(seen, (size_t)n + 1);
    growth_end();
    growth_expect(count == (size_t)n + 1);
    for (size_t i = 0; i < count; i++)
        sp_thread_release(seen[i]);
    free(seen);
    end_all(n, threads);
}

static void start_and_cancel_timers(long n)
{
    sp_timer **timers = calloc((size_t)n, sizeof(sp_timer *));
    growth_begin();
    for (long i = 0; i < n; i++)
        growth_expect((timers[i] = sp_timer_start(1000.0 + (double)(i * 7919 % n), nothing, 0)) != NULL);
    for (long i = 0; i < n; i++) {
        growth_expect(sp_timer_cancel(timers[i]));
        sp_timer_release(timers[i]);
    }
    growth_end();
    free(timers);
}

/* clang-format off */
GROWTH_TABLE(
    { "start and end n threads", start_and_end, .n = 10, .exponent = 1 },
    { "start and join 100 threads beside n that wait", start_and_join_beside, .n = 5, .exponent = 0 },
    { "join n threads with sp_join_all", join_all, .n = 10, .exponent = 1 },
    { "enumerate n threads", enumerate, .n = 10, .exponent = 1 },
    { "n foreign threads pass a lock and end", threads_pass_a_lock, .n = 10, .exponent = 1 },
    { "memory left by n timers", start_and_cancel_timers, .n = 100, .exponent = 0, .unit = GROWTH_BYTES },
    { "start and cancel n timers", start_and_cancel_timers, .n = 100, .exponent = 1 }
)
