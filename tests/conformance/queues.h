/* What the tests of queues share: queues of int, and calls that a bunch of threads makes.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_CONFORMANCE_QUEUES_H
#define SP_TESTS_CONFORMANCE_QUEUES_H

#include <spool.h>

#include "conformance/bunch.h"

enum { QUEUE_SIZE = 5 };

static inline int queue_compare(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static inline sp_queue *queue_in(sp_queue_order order, size_t maxsize)
{
    sp_queue *queue = sp_queue_of(int, .maxsize = maxsize, .order = order, .compare = queue_compare);
    assert_non_null(queue);
    return queue;
}

static inline void put_one(sp_queue *queue, int item)
{
    assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
}

static inline int get_one(sp_queue *queue)
{
    int item = -1000;
    assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
    return item;
}

/* A call that another thread makes. */
struct call {
    sp_queue *queue;
    double timeout;
    int item;
    sp_status status;
};

static inline void put_blocked(void *context)
{
    struct call *call = context;
    call->status = sp_put(call->queue, &call->item, call->timeout);
}

static inline void get_blocked(void *context)
{
    struct call *call = context;
    call->status = sp_get(call->queue, &call->item, call->timeout);
}

static inline void get_twice(void *context)
{
    get_blocked(context);
    get_blocked(context);
}

static inline void join_blocked(void *context)
{
    struct call *call = context;
    call->status = sp_queue_join(call->queue, call->timeout) ? SP_OK : SP_TIMEOUT;
}

#endif
