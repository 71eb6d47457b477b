/* Queues, with n items in them or n threads waiting for one.

   SPDX-License-Identifier: MIT */
#include "growth/growth.h"

#include <spool.h>

static int compare(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

static void fill_and_drain(sp_queue *queue, long n)
{
    long item;
    growth_begin();
    for (long i = 0; i < n; i++) {
        item = i * 7919 % n;
        growth_expect(sp_put(queue, &item, SP_NOWAIT) == SP_OK);
    }
    for (long i = 0; i < n; i++)
        growth_expect(sp_get(queue, &item, SP_NOWAIT) == SP_OK);
    growth_end();
    sp_queue_release(queue);
}

static void fifo(long n)
{
    fill_and_drain(sp_queue_of(long), n);
}

static void lifo(long n)
{
    fill_and_drain(sp_queue_of(long, .order = SP_LIFO), n);
}

static void priority(long n)
{
    fill_and_drain(sp_queue_of(long, .order = SP_PRIORITY, .compare = compare), n);
}

static void drop(void *item)
{
    (void)item;
}

static void discard(long n)
{
    sp_queue *queue = sp_queue_of(long, .order = SP_LIFO, .drop = drop);
    growth_begin();
    for (long i = 0; i < n; i++)
        growth_expect(sp_put(queue, &i, SP_NOWAIT) == SP_OK);
    sp_queue_shutdown(queue, true);
    growth_end();
    sp_queue_release(queue);
}

/* ---- beside others that wait ---- */

static sp_queue *empty;

static void *get_one(void *arg)
{
    long item;
    growth_expect(sp_get(empty, &item, SP_FOREVER) == SP_OK);
    return arg;
}

static void put_to_waiters(long n)
{
    empty = sp_queue_of(long);
    pthread_t *threads = growth_sleepers(n, get_one, NULL);
    growth_begin();
    for (long i = 0; i < n; i++)
        growth_expect(sp_put(empty, &i, SP_NOWAIT) == SP_OK);
    growth_join(threads, n);
    growth_end();
    sp_queue_release(empty);
}

/* clang-format off */
GROWTH_TABLE(
    { "FIFO: n puts, n gets", fifo, .n = 100, .exponent = 1 },
    { "LIFO: n puts, n gets", lifo, .n = 100, .exponent = 1 },
    { "PRIORITY: n puts, n gets", priority, .n = 100, .exponent = 1 },
    { "FIFO: memory left by n items that came and went", fifo, .n = 1000, .exponent = 0, .unit = GROWTH_BYTES },
    { "LIFO: the same", lifo, .n = 1000, .exponent = 0, .unit = GROWTH_BYTES },
    { "PRIORITY: the same", priority, .n = 1000, .exponent = 0, .unit = GROWTH_BYTES },
    { "memory left by n items that are dropped", discard, .n = 1000, .exponent = 0, .unit = GROWTH_BYTES },
    { "n puts wake n getters", put_to_waiters, .n = 5, .exponent = 1 }
)
