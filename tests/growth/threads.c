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

static void rename_often(long n)
{
    char name[32];
    sp_thread *me = sp_thread_current();
    growth_begin();
    for (long i = 0; i < n; i++) {
        snprintf(name, sizeof name, "job %ld", i);
        growth_expect(sp_thread_set_name(me, name) == SP_OK);
    }
    growth_end();
}

static sp_timer *joined;

static void *join_timer(void *arg)
{
    growth_expect(sp_timer_join(joined, SP_FOREVER) == SP_CANCELLED);
    return arg;
}

static void timers_beside_joiners(long n)
{
    growth_expect((joined = sp_timer_start(1000, nothing, 0)) != NULL);
    pthread_t *threads = growth_sleepers(n, join_timer, NULL);
    growth_begin();
    for (int i = 0; i < OPERATIONS; i++) {
        sp_timer *timer = sp_timer_start(1000, nothing, i);
        growth_expect(sp_timer_cancel(timer));
        sp_timer_release(timer);
    }
    growth_end();
    growth_expect(sp_timer_cancel(joined));
    growth_join(threads, n);
    sp_timer_release(joined);
}

static void *wait_for_event(void *arg)
{
    sp_event_wait(&ends, SP_FOREVER);
    return arg;
}

/* A wait without a limit is published, one that ends at once as well: what does it cost beside n others? */
static void join_beside_waits(long n)
{
    pthread_t *threads = growth_sleepers(n, wait_for_event, NULL);
    sp_lock_acquire(&lock);
    pthread_t *more = growth_sleepers(n, pass_lock, NULL);
    growth_begin();
    for (int i = 0; i < OPERATIONS; i++) {
        sp_thread *thread = sp_start(nothing, i);
        growth_expect(sp_join(thread, NULL, SP_FOREVER) == SP_OK);
        sp_thread_release(thread);
    }
    growth_end();
    sp_lock_release(&lock);
    sp_event_set(&ends);
    growth_join(threads, n);
    growth_join(more, n);
}

/* clang-format off */
GROWTH_TABLE(
    { "start and end n threads", start_and_end, .n = 10, .exponent = 1 },
    { "start and join 100 threads beside n that wait", start_and_join_beside, .n = 5, .exponent = 0 },
    { "join n threads with sp_join_all", join_all, .n = 10, .exponent = 1 },
    { "enumerate n threads", enumerate, .n = 10, .exponent = 1 },
    { "n foreign threads pass a lock and end", threads_pass_a_lock, .n = 10, .exponent = 1 },
    { "memory left by n timers", start_and_cancel_timers, .n = 100, .exponent = 0, .unit = GROWTH_BYTES },
    { "start and join 100 threads beside 2 n published waits", join_beside_waits, .n = 5, .exponent = 0 },
    { "memory left by n renames", rename_often, .n = 1000, .exponent = 0, .unit = GROWTH_BYTES },
    { "start and cancel 100 timers beside n who join one", timers_beside_joiners, .n = 5, .exponent = 0 },
    { "start and cancel n timers", start_and_cancel_timers, .n = 100, .exponent = 1 }
)
