/* One who was woken wakes the next: while it is on its way to the queue nobody else is woken.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "base/atomic.h"
#include "conformance/bunch.h"
#include "queue/queue.h"

static uint32_t woken, may_go_on; /* atomic */

static void nothing(void *context)
{
    (void)context;
}

/* Between its sleep and its look at the queue. */
static void wait_on_the_way(void *context)
{
    (void)context;
    sp__add_seq_cst(&woken, 1);
    while (!sp__load_acquire(&may_go_on))
        sched_yield();
}

static const struct sp__block_hooks hooks = { .before = nothing, .after = wait_on_the_way };

static void get_one(void *queue)
{
    int item;
    sp__self()->hooks = &hooks;
    assert_int_equal(sp_get((sp_queue *)queue, &item, SP_FOREVER), SP_OK);
    sp__self()->hooks = NULL;
}

static void put_one(void *queue)
{
    int item = 1;
    sp__self()->hooks = &hooks;
    assert_int_equal(sp_put((sp_queue *)queue, &item, SP_FOREVER), SP_OK);
    sp__self()->hooks = NULL;
}

static uint32_t count_of(const struct sp__sleepers *sleepers)
{
    return (uint32_t)sp__load_acquire(&sleepers->word);
}

/* Two sleep, and there is something for both, for which one was woken. */
static void both_go_on(sp_queue *queue, const struct sp__sleepers *sleepers, void (*body)(void *), void (*let)(void *))
{
    struct bunch bunch;
    sp__store_release(&woken, 0);
    sp__store_release(&may_go_on, 0);
    bunch_start(&bunch, 2, body, queue);
    test_await(count_of(sleepers) == 2);
    let(queue);
    let(queue);
    test_await(sp__load_acquire(&woken) == 1);
    assert_int_equal(count_of(sleepers), 1);
    sp__store_release(&may_go_on, 1);
    test_await(bunch_finished(&bunch) == 2);
    bunch_join(&bunch);
}

static void let_get(void *queue)
{
    int item = 1;
    assert_int_equal(sp_put((sp_queue *)queue, &item, SP_NOWAIT), SP_OK);
}

static void let_put(void *queue)
{
    int item;
    assert_int_equal(sp_get((sp_queue *)queue, &item, SP_NOWAIT), SP_OK);
}

static void a_getter_that_was_woken_wakes_the_next(void **state)
{
    (void)state;
    static const size_t bounds[] = { 0, 2 };
    for (int i = 0; i < 2; i++) {
        for (sp_queue_order order = SP_FIFO; order <= SP_LIFO; order++) {
            sp_auto(sp_queue) queue = sp_queue_of(int, .maxsize = bounds[i], .order = order);
            both_go_on(queue, &queue->getters, get_one, let_get);
        }
    }
}

static void a_putter_that_was_woken_wakes_the_next(void **state)
{
    (void)state;
    for (sp_queue_order order = SP_FIFO; order <= SP_LIFO; order++) {
        sp_auto(sp_queue) queue = sp_queue_of(int, .maxsize = 2, .order = order);
        let_get(queue);
        let_get(queue);
        both_go_on(queue, &queue->putters, put_one, let_put);
    }
}

/* ---- how long a getter pauses, in a stream, before it looks again ---- */

static void pauses_grow_up_to_two_microseconds(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_of(int);
    for (int i = 0; i < 20; i++) {
        int item;
        for (int n = 0; n < 3; n++)
            let_get(queue);
        for (int n = 0; n < 3; n++)
            let_put(queue);
        assert_int_equal(sp_get(queue, &item, 1e-9), SP_EMPTY);
        assert_in_range(sp__load_relaxed(&queue->get_patience.pauses), 0, 127); /* relaxed: our own */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_getter_that_was_woken_wakes_the_next),
        cmocka_unit_test(a_putter_that_was_woken_wakes_the_next),
        cmocka_unit_test(pauses_grow_up_to_two_microseconds),
    };
    return cmocka_run_group_tests_name("pass on", tests, NULL, NULL);
}
