/* Several sleep for items, or for room, and as many come at once: the first to be woken wakes the next, by every call and in
   every kind of queue.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "conformance/bunch.h"

enum { SLEEPERS = 4 };

static const struct {
    size_t maxsize;
    sp_queue_order order;
} kinds[] = { { 0, SP_FIFO }, { SLEEPERS, SP_FIFO }, { 0, SP_LIFO }, { SLEEPERS, SP_LIFO } };

static sp_queue *queue; /* of the test that runs */

static void get_one(void *unused)
{
    int item = 0;
    (void)unused;
    assert_int_equal(sp_get(queue, &item, SP_FOREVER), SP_OK);
}

static void get_batch_of_one(void *unused)
{
    int item = 0;
    size_t done = 0;
    (void)unused;
    assert_int_equal(sp_queue_get_many(queue, &item, 1, &done, SP_FOREVER), SP_OK);
    assert_int_equal(done, 1);
}

static void put_one(void *unused)
{
    int item = 1;
    (void)unused;
    assert_int_equal(sp_put(queue, &item, SP_FOREVER), SP_OK);
}

static void put_batch_of_one(void *unused)
{
    int item = 1;
    size_t done = 0;
    (void)unused;
    assert_int_equal(sp_queue_put_many(queue, &item, 1, &done, SP_FOREVER), SP_OK);
    assert_int_equal(done, 1);
}

static void put_all_by_one_call(void)
{
    int items[SLEEPERS] = { 0 };
    size_t done;
    assert_int_equal(sp_queue_put_many(queue, items, SLEEPERS, &done, SP_NOWAIT), SP_OK);
    assert_int_equal(done, SLEEPERS);
}

static void put_each(void)
{
    for (int item = 0; item < SLEEPERS; item++)
        assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
}

static void get_all_by_one_call(void)
{
    int items[SLEEPERS];
    size_t done;
    assert_int_equal(sp_queue_get_many(queue, items, SLEEPERS, &done, SP_NOWAIT), SP_OK);
    assert_int_equal(done, SLEEPERS);
}

static void get_each(void)
{
    int item;
    for (int i = 0; i < SLEEPERS; i++)
        assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
}

/* All sleep, then what they sleep for comes. */
static void wake_all(void (*sleeps)(void *unused), void (*brings)(void))
{
    struct bunch bunch;
    bunch_start(&bunch, SLEEPERS, sleeps, NULL);
    bunch_await_sleep(&bunch);
    assert_int_equal(bunch_finished(&bunch), 0);
    brings();
    test_await(bunch_finished(&bunch) == SLEEPERS);
    bunch_join(&bunch);
}

static void all_who_sleep_for_items_go_on_when_as_many_come(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        queue = sp_queue_of(int, .maxsize = kinds[i].maxsize, .order = kinds[i].order);
        for (long round = test_count(4); round > 0; round--) {
            wake_all(get_one, put_all_by_one_call);
            wake_all(get_one, put_each);
            wake_all(get_batch_of_one, put_all_by_one_call);
            wake_all(get_batch_of_one, put_each);
        }
        assert_true(sp_queue_empty(queue));
        sp_queue_release(queue);
    }
}

static void all_who_sleep_for_room_go_on_when_there_is_as_much(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].maxsize == 0)
            continue;
        queue = sp_queue_of(int, .maxsize = kinds[i].maxsize, .order = kinds[i].order);
        put_each();
        for (long round = test_count(4); round > 0; round--) {
            wake_all(put_one, get_all_by_one_call);
            wake_all(put_one, get_each);
            wake_all(put_batch_of_one, get_all_by_one_call);
            wake_all(put_batch_of_one, get_each);
        }
        assert_true(sp_queue_full(queue));
        sp_queue_release(queue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_who_sleep_for_items_go_on_when_as_many_come),
        cmocka_unit_test(all_who_sleep_for_room_go_on_when_there_is_as_much),
    };
    return cmocka_run_group_tests_name("wake", tests, NULL, NULL);
}
