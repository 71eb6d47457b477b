/* A drop function that calls the queue whose items it drops: no lock is held, and the queue is closed.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

enum { ITEMS = 5, KINDS = 4 };

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static sp_queue *queue;
static int drops, puts_refused, taken;
static bool takes; /* the drop function takes the next item */

static void call_own_queue(void *item)
{
    int number = *(int *)item, next = -1;
    drops++;
    puts_refused += sp_put(queue, &number, SP_FOREVER) == SP_SHUT_DOWN; /* at once, though it may be full */
    puts_refused += sp_queue_put_many(queue, &number, 1, NULL, SP_NOWAIT) == SP_SHUT_DOWN;
    if (takes && sp_get(queue, &next, SP_FOREVER) == SP_OK)
        taken++;
    sp_queue_shutdown(queue, true);
    assert_int_equal(number, *(int *)item); /* it lies where it lay */
}

static sp_queue *queue_of_kind(int kind)
{
    static const sp_queue_order orders[KINDS] = { SP_FIFO, SP_FIFO, SP_LIFO, SP_PRIORITY };
    return sp_queue_of(int, .order = orders[kind], .maxsize = kind == 0 ? ITEMS : 0, .compare = by_value,
                       .drop = call_own_queue);
}

static void fill(int kind)
{
    drops = puts_refused = taken = 0;
    queue = queue_of_kind(kind);
    for (int i = 0; i < ITEMS; i++)
        assert_int_equal(sp_put(queue, &i, SP_NOWAIT), SP_OK);
}

static void a_drop_by_an_immediate_shutdown_may_call_the_queue(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < 2; i++) {
            takes = i == 1;
            fill(kind);
            sp_queue_shutdown(queue, true);
            assert_int_equal(drops + taken, ITEMS);
            assert_int_equal(puts_refused, 2 * drops);
            assert_int_equal(sp_queue_size(queue), 0);
            for (int k = 0; k < taken; k++)
                assert_int_equal(sp_queue_task_done(queue), SP_OK); /* what was taken is its taker's to tell */
            assert_true(sp_queue_join(queue, SP_NOWAIT));
            assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
            sp_queue_release(queue);
            assert_int_equal(drops + taken, ITEMS);
        }
}

/* Whoever has taken all others meets the slot of the one that is being dropped. */
static sp_status told;

static void get_from_own_queue(void *item)
{
    int next;
    drops++;
    told = sp_get(queue, &next, SP_NOWAIT);
    assert_int_equal(*(int *)item, 7);
}

static void a_drop_that_gets_from_its_full_queue_is_told_that_it_is_shut_down(void **state)
{
    (void)state;
    for (size_t maxsize = 0; maxsize < 3; maxsize++)
        for (int released = 0; released < 2; released++) {
            int item = 7;
            drops = 0;
            queue = sp_queue_of(int, .maxsize = maxsize, .drop = get_from_own_queue);
            assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
            if (!released)
                sp_queue_shutdown(queue, true);
            sp_queue_release(queue);
            assert_int_equal(drops, 1);
            assert_int_equal(told, SP_SHUT_DOWN);
        }
}

static void put_into_own_queue(void *item)
{
    drops++;
    puts_refused += sp_put(queue, (int *)item, SP_FOREVER) == SP_SHUT_DOWN;
}

/* The last handle goes: the queue is still there. */
static void a_drop_by_the_last_release_may_put_into_the_queue(void **state)
{
    (void)state;
    static const sp_queue_order orders[] = { SP_FIFO, SP_LIFO, SP_PRIORITY };
    for (int kind = 0; kind < 3; kind++) {
        drops = puts_refused = 0;
        queue = sp_queue_of(int, .order = orders[kind], .compare = by_value, .drop = put_into_own_queue);
        for (int i = 0; i < ITEMS; i++)
            assert_int_equal(sp_put(queue, &i, SP_NOWAIT), SP_OK);
        sp_queue_release(queue);
        assert_int_equal(drops, ITEMS);
        assert_int_equal(puts_refused, ITEMS);
    }
}

/* Calls that keep the queue while they last. */
static void keep_own_queue(void *item)
{
    int more[2] = { *(int *)item, *(int *)item };
    size_t n = 0;
    drops++;
    puts_refused += sp_queue_put_many(queue, more, 2, NULL, SP_FOREVER) == SP_SHUT_DOWN;
    sp_queue_shutdown(queue, false);
    sp_status status = sp_queue_get_many(queue, more, 2, &n, SP_NOWAIT);
    assert_true(status == SP_OK || status == SP_SHUT_DOWN);
    taken += (int)n;
    sp_queue_release(sp_queue_retain(queue));
}

static void a_drop_by_the_last_release_may_make_calls_that_keep_the_queue(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        static const sp_queue_order orders[KINDS] = { SP_FIFO, SP_FIFO, SP_LIFO, SP_PRIORITY };
        drops = puts_refused = taken = 0;
        queue = sp_queue_of(int, .order = orders[kind], .maxsize = kind == 0 ? ITEMS : 0, .compare = by_value,
                            .drop = keep_own_queue);
        for (int i = 0; i < ITEMS; i++)
            assert_int_equal(sp_put(queue, &i, SP_NOWAIT), SP_OK);
        sp_queue_release(queue);
        assert_int_equal(drops + taken, ITEMS);
        assert_int_equal(puts_refused, drops);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drop_by_an_immediate_shutdown_may_call_the_queue),
        cmocka_unit_test(a_drop_that_gets_from_its_full_queue_is_told_that_it_is_shut_down),
        cmocka_unit_test(a_drop_by_the_last_release_may_put_into_the_queue),
        cmocka_unit_test(a_drop_by_the_last_release_may_make_calls_that_keep_the_queue),
    };
    return cmocka_run_group_tests_name("drop", tests, NULL, NULL);
}
