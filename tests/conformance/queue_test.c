/* sp_queue behaves like queue.Queue, LifoQueue, PriorityQueue and SimpleQueue.  shutdown_test.c has queue.ShutDown.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "conformance/queues.h"
#include "os/fault.h"

/* ---- fill, block, empty: with each order ---- */

static void check_order(sp_queue *queue, sp_queue_order order)
{
    const int in[3] = { 111, 333, 222 };
    const int out[3][3] = {
        [SP_FIFO] = { 111, 333, 222 }, [SP_LIFO] = { 222, 333, 111 }, [SP_PRIORITY] = { 111, 222, 333 }
    };
    for (int i = 0; i < 3; i++)
        put_one(queue, in[i]);
    for (int i = 0; i < 3; i++)
        assert_int_equal(get_one(queue), out[order][i]);
}

static void fill(sp_queue *queue)
{
    for (int i = 0; i < QUEUE_SIZE; i++) {
        assert_false(sp_queue_full(queue));
        put_one(queue, i);
        assert_int_equal(sp_queue_size(queue), (size_t)i + 1);
        assert_false(sp_queue_empty(queue));
    }
    assert_true(sp_queue_full(queue));
}

static void drain(sp_queue *queue)
{
    for (int i = 0; i < QUEUE_SIZE; i++)
        (void)get_one(queue);
    assert_int_equal(sp_queue_size(queue), 0);
    assert_true(sp_queue_empty(queue));
}

/* Have `body` sleep in the queue, let `unclog` end that. */
static void blocks_until(sp_queue *queue, double timeout, void (*body)(void *context), void (*unclog)(sp_queue *queue))
{
    struct call call = { .queue = queue, .item = 99, .timeout = timeout };
    struct bunch bunch;
    bunch_start(&bunch, 1, body, &call);
    bunch_await_sleep(&bunch);
    assert_int_equal(bunch_finished(&bunch), 0);
    unclog(queue);
    bunch_join(&bunch);
    assert_int_equal(call.status, SP_OK);
}

static void unclog_by_get(sp_queue *queue)
{
    (void)get_one(queue);
}

static void unclog_by_put(sp_queue *queue)
{
    put_one(queue, 5);
}

static void basics(sp_queue *queue, sp_queue_order order)
{
    int item = 7;
    assert_true(sp_queue_empty(queue));
    assert_false(sp_queue_full(queue));
    check_order(queue, order);
    fill(queue);
    assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_FULL);
    assert_int_equal(sp_put(queue, &item, 0.01), SP_FULL);
    assert_int_equal(sp_queue_size(queue), QUEUE_SIZE);
    blocks_until(queue, SP_FOREVER, put_blocked, unclog_by_get);
    blocks_until(queue, 90, put_blocked, unclog_by_get);
    drain(queue);
    assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_EMPTY);
    assert_int_equal(sp_get(queue, &item, 0.01), SP_EMPTY);
    assert_int_equal(item, 7);
    blocks_until(queue, SP_FOREVER, get_blocked, unclog_by_put);
    blocks_until(queue, 90, get_blocked, unclog_by_put);
    assert_true(sp_queue_empty(queue));
}

static void order_bounds_and_blocking_twice(void **state)
{
    (void)state;
    for (sp_queue_order order = SP_FIFO; order <= SP_PRIORITY; order++) {
        sp_auto(sp_queue) queue = queue_in(order, QUEUE_SIZE);
        basics(queue, order);
        basics(queue, order);
    }
}

static void negative_time_outs_do_not_wait(void **state)
{
    (void)state;
    for (sp_queue_order order = SP_FIFO; order <= SP_PRIORITY; order++) {
        sp_auto(sp_queue) queue = queue_in(order, 1);
        int item = 1;
        assert_int_equal(sp_get(queue, &item, -1), SP_EMPTY); /* where Python raises ValueError, the time is up */
        assert_int_equal(sp_put(queue, &item, -1), SP_OK);
        assert_int_equal(sp_put(queue, &item, -1), SP_FULL);
        assert_int_equal(sp_get(queue, &item, -1), SP_OK);
    }
}

/* ---- task_done and join ---- */

struct work {
    sp_queue *queue;
    uint64_t sum; /* atomic */
};

static void work_until_told(void *context)
{
    struct work *work = context;
    for (;;) {
        int item = 0;
        assert_int_equal(sp_get(work->queue, &item, SP_FOREVER), SP_OK);
        if (item >= 0)
            sp__add_seq_cst(&work->sum, (uint64_t)item);
        assert_int_equal(sp_queue_task_done(work->queue), SP_OK);
        if (item < 0)
            return;
    }
}

static void join_of_all_work(sp_queue *queue)
{
    struct work work = { .queue = queue };
    struct bunch bunch;
    bunch_start(&bunch, 2, work_until_told, &work);
    for (int i = 0; i < 100; i++)
        put_one(queue, i);
    assert_true(sp_queue_join(queue, SP_FOREVER));
    assert_int_equal(sp__load_acquire(&work.sum), 99 * 100 / 2);
    put_one(queue, -1);
    put_one(queue, -1);
    assert_true(sp_queue_join(queue, SP_FOREVER));
    bunch_join(&bunch);
}

static void join_returns_when_all_work_is_done(void **state)
{
    (void)state;
    for (sp_queue_order order = SP_FIFO; order <= SP_PRIORITY; order++) {
        sp_auto(sp_queue) queue = queue_in(order, 0);
        assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
        join_of_all_work(queue);
        join_of_all_work(queue);
        assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
    }
}

/* ---- a put that fails ---- */

/* Put until a put needs memory, and let that one fail. */
static int fill_until_memory_is_refused(sp_queue *queue)
{
    for (int i = 0;; i++) {
        assert_true(i < 100000);
        sp__fault_arm(1, true);
        sp_status status = sp_put(queue, &i, SP_NOWAIT);
        sp__fault_disarm();
        if (status != SP_OK) {
            assert_int_equal(status, SP_MEMORY_ERROR);
            return i;
        }
    }
}

static void a_put_that_fails_damages_nothing(void **state)
{
    (void)state;
    for (sp_queue_order order = SP_FIFO; order <= SP_PRIORITY; order++) {
        sp_auto(sp_queue) queue = queue_in(order, 0);
        put_one(queue, -2);
        put_one(queue, -1); /* there is some memory now: later failures are of a growth */
        int put = fill_until_memory_is_refused(queue);
        assert_int_equal(sp_queue_size(queue), (size_t)put + 2);
        put_one(queue, put);
        for (int i = -2; i <= put; i++)
            assert_int_equal(get_one(queue), order == SP_LIFO ? put - 2 - i : i);
        assert_true(sp_queue_empty(queue));
        for (int i = -2; i <= put; i++)
            assert_int_equal(sp_queue_task_done(queue), SP_OK);
        assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR); /* what failed does not count */
        put_one(queue, 1);
        blocks_until(queue, SP_FOREVER, get_twice, unclog_by_put);
    }
}

/* ---- without a bound: SimpleQueue ---- */

static void one_without_a_bound(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = queue_in(SP_FIFO, 0);
    const double timeouts[4] = { SP_FOREVER, SP_NOWAIT, -1, 0.1 };
    int item = 0;
    assert_int_equal(sp_queue_maxsize(queue), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sp_put(queue, &i, timeouts[i]), SP_OK);
        assert_int_equal(sp_queue_size(queue), (size_t)i + 1);
        assert_false(sp_queue_full(queue));
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sp_get(queue, &item, timeouts[i]), SP_OK);
        assert_int_equal(item, i);
        assert_int_equal(sp_queue_size(queue), (size_t)(3 - i));
    }
    assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_EMPTY);
    assert_int_equal(sp_get(queue, &item, 0.001), SP_EMPTY);
    assert_true(sp_queue_empty(queue));
}

enum { MOST_ITEMS = 10000, SENTINEL = -1 };

struct flow {
    sp_queue *queue;
    int items;           /* set once */
    double timeout;      /* set once; of each get */
    uint32_t next_in;    /* atomic */
    uint32_t next_out;   /* atomic */
    int out[MOST_ITEMS]; /* in the order in which they were got */
};

static void feed(void *context)
{
    struct flow *flow = context;
    for (uint32_t i; (i = sp__add_relaxed(&flow->next_in, 1)) < (uint32_t)flow->items;) {
        put_one(flow->queue, (int)i);
        if (i % 7 == 0)
            sched_yield();
    }
    put_one(flow->queue, SENTINEL);
}

static void consume(void *context)
{
    struct flow *flow = context;
    for (;;) {
        int item = 0;
        sp_status status = sp_get(flow->queue, &item, flow->timeout);
        if (status == SP_EMPTY && flow->timeout < 1) {
            sched_yield();
            continue;
        }
        assert_int_equal(status, SP_OK);
        if (item == SENTINEL)
            return;
        flow->out[sp__add_seq_cst(&flow->next_out, 1)] = item;
    }
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void flow(int pairs, int items, double timeout)
{
    static struct flow flow;
    struct bunch feeders, consumers;
    sp_auto(sp_queue) queue = queue_in(SP_FIFO, 0);
    flow = (struct flow){ .queue = queue, .items = items, .timeout = timeout };
    bunch_start(&consumers, pairs, consume, &flow);
    bunch_start(&feeders, pairs, feed, &flow);
    bunch_join(&feeders);
    bunch_join(&consumers);
    assert_true(sp_queue_empty(queue));
    assert_int_equal(flow.next_out, items);
    if (pairs > 1) /* with one of each the order is that of the puts */
        qsort(flow.out, (size_t)items, sizeof flow.out[0], ascending);
    for (int i = 0; i < items; i++)
        assert_int_equal(flow.out[i], i);
}

static void one_producer_and_one_consumer_keep_the_order(void **state)
{
    (void)state;
    flow(1, 100, SP_FOREVER);
    flow(1, MOST_ITEMS, SP_FOREVER);
}

static void many_threads_lose_nothing(void **state)
{
    (void)state;
    flow(BUNCH_MOST, MOST_ITEMS, SP_FOREVER);
}

static void many_threads_that_do_not_wait_lose_nothing(void **state)
{
    (void)state;
    flow(BUNCH_MOST, MOST_ITEMS, SP_NOWAIT);
}

static void many_threads_with_time_outs_lose_nothing(void **state)
{
    (void)state;
    flow(BUNCH_MOST, MOST_ITEMS / 10, 1e-5);
}

/* ---- who owns an item ---- */

static int drops;

static void count_drop(void *item)
{
    (void)item;
    drops++;
}

static void what_was_got_is_not_the_queues_any_more(void **state)
{
    (void)state;
    drops = 0;
    sp_queue *queue = sp_queue_of(int, .drop = count_drop);
    for (int i = 0; i < 20; i++)
        put_one(queue, i);
    for (int i = 0; i < 20; i++)
        (void)get_one(queue);
    put_one(queue, 20);
    sp_queue_release(queue);
    assert_int_equal(drops, 1); /* the one that nobody got */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_bounds_and_blocking_twice),
        cmocka_unit_test(negative_time_outs_do_not_wait),
        cmocka_unit_test(join_returns_when_all_work_is_done),
        cmocka_unit_test(a_put_that_fails_damages_nothing),
        cmocka_unit_test(one_without_a_bound),
        cmocka_unit_test(one_producer_and_one_consumer_keep_the_order),
        cmocka_unit_test(many_threads_lose_nothing),
        cmocka_unit_test(many_threads_that_do_not_wait_lose_nothing),
        cmocka_unit_test(many_threads_with_time_outs_lose_nothing),
        cmocka_unit_test(what_was_got_is_not_the_queues_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
