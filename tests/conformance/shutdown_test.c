/* sp_queue_shutdown behaves like Queue.shutdown of CPython 3.13.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "conformance/queues.h"

/* Each test is run with each order, and where it says so with both kinds of shutdown. */
static const struct kind {
    sp_queue_order order;
    bool immediate;
} kinds[] = {
    { SP_FIFO, false }, { SP_LIFO, false }, { SP_PRIORITY, false },
    { SP_FIFO, true },  { SP_LIFO, true },  { SP_PRIORITY, true },
};
enum { KINDS = sizeof kinds / sizeof kinds[0], ORDERS = 3 };

static void expect_no_put(sp_queue *queue)
{
    const double timeouts[3] = { SP_NOWAIT, 10, SP_FOREVER };
    for (int i = 0; i < 3; i++)
        assert_int_equal(sp_put(queue, &i, timeouts[i]), SP_SHUT_DOWN);
}

static void expect_no_get(sp_queue *queue)
{
    const double timeouts[3] = { SP_NOWAIT, 10, SP_FOREVER };
    int item = 77;
    for (int i = 0; i < 3; i++)
        assert_int_equal(sp_get(queue, &item, timeouts[i]), SP_SHUT_DOWN);
    assert_int_equal(item, 77);
}

/* ---- in one thread ---- */

static void of_an_empty_queue(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 2);
        sp_queue_shutdown(queue, kinds[k].immediate);
        expect_no_put(queue);
        expect_no_get(queue);
        assert_true(sp_queue_empty(queue));
        assert_true(sp_queue_join(queue, SP_FOREVER));
        assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
    }
}

static void what_is_left_can_be_got(void **state)
{
    (void)state;
    for (int k = 0; k < ORDERS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 2);
        put_one(queue, 1);
        put_one(queue, 2);
        sp_queue_shutdown(queue, false);
        expect_no_put(queue); /* not SP_FULL, though it is full */
        assert_int_equal(sp_queue_size(queue), 2);
        assert_int_equal(get_one(queue) + get_one(queue), 3);
        expect_no_put(queue);
        expect_no_get(queue);
    }
}

static void nothing_is_left_after_an_immediate_one(void **state)
{
    (void)state;
    for (int k = ORDERS; k < KINDS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 2);
        put_one(queue, 1);
        put_one(queue, 2);
        sp_queue_shutdown(queue, true);
        assert_int_equal(sp_queue_size(queue), 0);
        assert_true(sp_queue_empty(queue));
        assert_false(sp_queue_full(queue));
        expect_no_put(queue);
        expect_no_get(queue);
    }
}

static void it_may_be_repeated_and_become_immediate(void **state)
{
    (void)state;
    for (int k = 0; k < ORDERS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 0);
        put_one(queue, 1);
        sp_queue_shutdown(queue, false);
        sp_queue_shutdown(queue, false);
        assert_int_equal(sp_queue_size(queue), 1);
        assert_false(sp_queue_join(queue, SP_NOWAIT));
        sp_queue_shutdown(queue, true);
        expect_no_get(queue);
        assert_true(sp_queue_join(queue, SP_FOREVER));
        sp_queue_shutdown(queue, false); /* never back */
        expect_no_put(queue);
        expect_no_get(queue);
    }
}

static void task_done_and_join_go_on(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 0);
        put_one(queue, 1);
        put_one(queue, 2);
        (void)get_one(queue);
        sp_queue_shutdown(queue, kinds[k].immediate);
        assert_false(sp_queue_join(queue, SP_NOWAIT)); /* the one that was got is worked on */
        if (!kinds[k].immediate) {
            (void)get_one(queue);
            assert_int_equal(sp_queue_task_done(queue), SP_OK);
            assert_false(sp_queue_join(queue, SP_NOWAIT));
        }
        assert_int_equal(sp_queue_task_done(queue), SP_OK);
        assert_true(sp_queue_join(queue, SP_FOREVER));
        assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
    }
}

/* ---- who waits is woken ---- */

static void waiting_getters_are_woken(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 2);
        struct call for_ever = { .queue = queue, .timeout = SP_FOREVER, .item = 7 };
        struct call a_while = { .queue = queue, .timeout = 90, .item = 7 };
        struct bunch one, other;
        bunch_start(&one, 1, get_blocked, &for_ever);
        bunch_start(&other, 1, get_blocked, &a_while);
        bunch_await_sleep(&one);
        bunch_await_sleep(&other);
        assert_int_equal(bunch_finished(&one) + bunch_finished(&other), 0);
        sp_queue_shutdown(queue, kinds[k].immediate);
        bunch_join(&one);
        bunch_join(&other);
        assert_int_equal(for_ever.status, SP_SHUT_DOWN);
        assert_int_equal(a_while.status, SP_SHUT_DOWN);
        assert_int_equal(for_ever.item, 7);
    }
}

static void waiting_putters_are_woken_and_have_put_nothing(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 1);
        struct call for_ever = { .queue = queue, .timeout = SP_FOREVER, .item = 2 };
        struct call a_while = { .queue = queue, .timeout = 90, .item = 3 };
        struct bunch one, other;
        put_one(queue, 1);
        bunch_start(&one, 1, put_blocked, &for_ever);
        bunch_start(&other, 1, put_blocked, &a_while);
        bunch_await_sleep(&one);
        bunch_await_sleep(&other);
        assert_int_equal(bunch_finished(&one) + bunch_finished(&other), 0);
        sp_queue_shutdown(queue, kinds[k].immediate);
        bunch_join(&one);
        bunch_join(&other);
        assert_int_equal(for_ever.status, SP_SHUT_DOWN);
        assert_int_equal(a_while.status, SP_SHUT_DOWN);
        if (!kinds[k].immediate)
            assert_int_equal(get_one(queue), 1);
        expect_no_get(queue);
    }
}

static void joiners_wait_for_what_is_left_unless_it_is_immediate(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 0);
        struct call call = { .queue = queue, .timeout = SP_FOREVER, .status = SP_TIMEOUT };
        struct bunch joiners;
        put_one(queue, 1);
        put_one(queue, 2);
        bunch_start(&joiners, 1, join_blocked, &call);
        bunch_await_sleep(&joiners);
        sp_queue_shutdown(queue, kinds[k].immediate);
        for (int i = 0; !kinds[k].immediate && i < 2; i++) {
            assert_int_equal(bunch_finished(&joiners), 0);
            (void)get_one(queue);
            assert_int_equal(sp_queue_task_done(queue), SP_OK);
        }
        bunch_join(&joiners);
        assert_int_equal(call.status, SP_OK);
    }
}

static void joiners_wait_for_what_is_worked_on_though_it_is_immediate(void **state)
{
    (void)state;
    for (int k = ORDERS; k < KINDS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 0);
        struct call call = { .queue = queue, .timeout = SP_FOREVER, .status = SP_TIMEOUT };
        struct bunch joiners;
        put_one(queue, 1);
        put_one(queue, 2);
        (void)get_one(queue);
        bunch_start(&joiners, 1, join_blocked, &call);
        bunch_await_sleep(&joiners);
        sp_queue_shutdown(queue, true);
        assert_false(sp_queue_join(queue, 0.01)); /* time enough for a joiner that was told too much */
        assert_int_equal(bunch_finished(&joiners), 0);
        assert_int_equal(sp_queue_task_done(queue), SP_OK);
        bunch_join(&joiners);
        assert_int_equal(call.status, SP_OK);
    }
}

/* Three getters that come after the shutdown of a queue with two items: one of them is refused; all, if it was immediate. */
static void one_getter_too_many(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 2);
        struct call calls[3];
        struct bunch getters[3];
        int got = 0, refused = 0;
        put_one(queue, 1);
        put_one(queue, 2);
        sp_queue_shutdown(queue, kinds[k].immediate);
        for (int i = 0; i < 3; i++) {
            calls[i] = (struct call){ .queue = queue, .timeout = SP_FOREVER };
            bunch_start(&getters[i], 1, get_blocked, &calls[i]);
        }
        for (int i = 0; i < 3; i++) {
            bunch_join(&getters[i]);
            got += calls[i].status == SP_OK;
            refused += calls[i].status == SP_SHUT_DOWN;
        }
        assert_int_equal(got, kinds[k].immediate ? 0 : 2);
        assert_int_equal(refused, kinds[k].immediate ? 3 : 1);
    }
}

static void a_late_put_does_not_keep_a_joiner(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 2);
        struct call call = { .queue = queue, .timeout = SP_FOREVER, .status = SP_TIMEOUT };
        struct bunch joiners;
        put_one(queue, 1); /* there is room for another */
        bunch_start(&joiners, 1, join_blocked, &call);
        bunch_await_sleep(&joiners);
        assert_int_equal(bunch_finished(&joiners), 0);
        sp_queue_shutdown(queue, kinds[k].immediate);
        expect_no_put(queue);
        if (!kinds[k].immediate) {
            assert_int_equal(get_one(queue), 1);
            assert_int_equal(sp_queue_task_done(queue), SP_OK);
        }
        bunch_join(&joiners);
        assert_int_equal(call.status, SP_OK);
        expect_no_get(queue);
    }
}

struct stream {
    sp_queue *queue;
    uint32_t over;         /* atomic */
    uint32_t asked, wrong; /* atomic */
};

static void ask_until_over(void *context)
{
    struct stream *stream = context;
    for (int item = 0; !sp__load_acquire(&stream->over); sp__add_seq_cst(&stream->asked, 1))
        if (sp_get(stream->queue, &item, SP_NOWAIT) != SP_SHUT_DOWN ||
            sp_put(stream->queue, &item, SP_NOWAIT) != SP_SHUT_DOWN)
            sp__add_seq_cst(&stream->wrong, 1);
}

/* A call in the very moment of an immediate shutdown has no other answer than one before or after. */
static void an_immediate_one_is_never_seen_half_done(void **state)
{
    (void)state;
    uint32_t calls = (uint32_t)test_count(20000);
    for (int k = ORDERS; k < KINDS; k++) {
        sp_auto(sp_queue) queue = queue_in(kinds[k].order, 2);
        struct stream stream = { .queue = queue };
        struct bunch bunch;
        sp_queue_shutdown(queue, true);
        bunch_start(&bunch, 1, ask_until_over, &stream);
        while (sp__load_acquire(&stream.asked) < calls)
            sp_queue_shutdown(queue, true);
        sp__store_release(&stream.over, 1);
        bunch_join(&bunch);
        assert_int_equal(stream.wrong, 0);
    }
}

/* ---- many threads in every call at once ---- */

struct crowd {
    sp_queue *queue;
    uint32_t put, got, done; /* atomic */
    uint32_t refused_puts;   /* atomic */
    uint32_t refused_gets;   /* atomic */
};

static void put_until_shut_down(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0;; i++) {
        sp_status status = sp_put(crowd->queue, &i, i % 2 ? SP_FOREVER : 1e-4);
        if (status == SP_OK)
            sp__add_seq_cst(&crowd->put, 1);
        if (status == SP_SHUT_DOWN)
            break;
        assert_true(status == SP_OK || status == SP_FULL);
    }
    sp__add_seq_cst(&crowd->refused_puts, 1);
}

static void get_until_shut_down(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0, item;; i++) {
        sp_status status = sp_get(crowd->queue, &item, i % 2 ? SP_FOREVER : 1e-4);
        if (status == SP_SHUT_DOWN)
            break;
        assert_true(status == SP_OK || status == SP_EMPTY);
        if (status != SP_OK)
            continue;
        sp__add_seq_cst(&crowd->got, 1);
        assert_int_equal(sp_queue_task_done(crowd->queue), SP_OK);
        sp__add_seq_cst(&crowd->done, 1);
    }
    sp__add_seq_cst(&crowd->refused_gets, 1);
}

static void shut_down_a_crowd(const struct kind *kind)
{
    sp_auto(sp_queue) queue = queue_in(kind->order, 3);
    struct crowd crowd = { .queue = queue };
    struct bunch putters, getters, joiners;
    struct call joined = { .queue = queue, .timeout = SP_FOREVER, .status = SP_TIMEOUT };
    bunch_start(&getters, 4, get_until_shut_down, &crowd);
    bunch_start(&putters, 4, put_until_shut_down, &crowd);
    bunch_start(&joiners, 1, join_blocked, &joined);
    test_await(sp__load_acquire(&crowd.got) >= 100);
    sp_queue_shutdown(queue, kind->immediate);
    bunch_join(&putters);
    bunch_join(&getters);
    bunch_join(&joiners);
    assert_int_equal(crowd.refused_puts, 4);
    assert_int_equal(crowd.refused_gets, 4);
    assert_int_equal(joined.status, SP_OK);
    assert_int_equal(crowd.done, crowd.got);
    if (kind->immediate)
        assert_true(crowd.put >= crowd.got && crowd.put <= crowd.got + 3);
    else
        assert_int_equal(crowd.put, crowd.got);
    assert_true(sp_queue_join(queue, SP_NOWAIT));
    assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
    expect_no_get(queue);
}

static void a_crowd_in_every_call_ends_and_the_books_balance(void **state)
{
    (void)state;
    for (long i = test_count(10); i > 0; i--)
        for (int k = 0; k < KINDS; k++)
            shut_down_a_crowd(&kinds[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_an_empty_queue),
        cmocka_unit_test(what_is_left_can_be_got),
        cmocka_unit_test(nothing_is_left_after_an_immediate_one),
        cmocka_unit_test(it_may_be_repeated_and_become_immediate),
        cmocka_unit_test(task_done_and_join_go_on),
        cmocka_unit_test(waiting_getters_are_woken),
        cmocka_unit_test(waiting_putters_are_woken_and_have_put_nothing),
        cmocka_unit_test(joiners_wait_for_what_is_left_unless_it_is_immediate),
        cmocka_unit_test(joiners_wait_for_what_is_worked_on_though_it_is_immediate),
        cmocka_unit_test(one_getter_too_many),
        cmocka_unit_test(a_late_put_does_not_keep_a_joiner),
        cmocka_unit_test(an_immediate_one_is_never_seen_half_done),
        cmocka_unit_test(a_crowd_in_every_call_ends_and_the_books_balance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
