/* Queues.

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

/* clang-format off */
GROWTH_TABLE(
    { "FIFO: n puts, n gets", fifo, .n = 100, .exponent = 1 },
    { "LIFO: n puts, n gets", lifo, .n = 100, .exponent = 1 },
    { "PRIORITY: n puts, n gets", priority, .n = 100, .exponent = 1 },
    { "FIFO: memory left by n items that came and went", fifo, .n = 1000, .exponent = 0, .unit = GROWTH_BYTES }
)
