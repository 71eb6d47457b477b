/* Two things that a call could answer hold at a time: which one it says.  What is wrong with the call itself comes first, in
   the order NULL, size, NaN; then what has ended; what is there comes before the time that is up.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

static double nan_seconds;
static sp_event gate;

static int triple(int number)
{
    return 3 * number;
}
SP_FUNCTION(triple, int, int);

static sp_status wait_at_gate(const sp_none *in, int *out)
{
    (void)in;
    *out = 1;
    sp_event_wait(&gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_at_gate, sp_none, int);

static sp_status return_it(const sp_status *status, int *out)
{
    *out = 1;
    return *status;
}
SP_TASK(return_it, sp_status, int);

/* ---- queues ---- */

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Of each kind, with room for one: two items in bounds, and one without. */
enum { KINDS = 4 };

static sp_queue *queue_of_kind(int kind)
{
    static const sp_queue_order orders[KINDS] = { SP_FIFO, SP_FIFO, SP_LIFO, SP_PRIORITY };
    return sp_queue_of(int, .order = orders[kind], .maxsize = kind == 1 ? 0 : 1, .compare = by_value);
}

static void a_queue_that_is_full_and_closed_is_shut_down(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        int item = 1, more[2] = { 2, 3 };
        size_t done = 9;
        sp_auto(sp_queue) queue = queue_of_kind(kind);
        assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
        if (kind != 1)
            assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_FULL);
        sp_queue_shutdown(queue, false);
        assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_SHUT_DOWN);
        assert_int_equal(sp_put(queue, &item, 0.001), SP_SHUT_DOWN);
        assert_int_equal(sp_queue_put_many(queue, more, 2, &done, SP_NOWAIT), SP_SHUT_DOWN);
        assert_int_equal(done, 0);
        assert_int_equal(sp_queue_put_many(queue, more, 0, &done, SP_NOWAIT), SP_OK); /* all of none */
        assert_int_equal(sp_queue_size(queue), 1);
    }
}

static void a_queue_that_is_closed_gives_what_is_left(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        int item = 7, items[2] = { 0, 0 };
        size_t done = 9;
        sp_auto(sp_queue) queue = queue_of_kind(kind);
        assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_EMPTY);
        assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
        sp_queue_shutdown(queue, false);
        assert_int_equal(sp_queue_get_many(queue, items, 2, &done, SP_NOWAIT), SP_OK); /* fewer than asked for */
        assert_int_equal(done, 1);
        assert_int_equal(items[0], 7);
        assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_SHUT_DOWN); /* and not SP_EMPTY */
        assert_int_equal(sp_get(queue, &item, 0.001), SP_SHUT_DOWN);
        assert_int_equal(sp_queue_get_many(queue, items, 2, &done, SP_NOWAIT), SP_SHUT_DOWN);
        assert_int_equal(done, 0);
        assert_int_equal(sp_queue_get_many(queue, items, 0, &done, SP_NOWAIT), SP_OK);
        assert_false(sp_queue_join(queue, SP_NOWAIT));
        assert_int_equal(sp_queue_task_done(queue), SP_OK);
        assert_true(sp_queue_join(queue, SP_NOWAIT));
        assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
    }
}

static void what_is_wrong_with_a_call_of_a_queue_comes_first(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++)
        for (int closed = 0; closed < 2; closed++) {
            int item = 1;
            size_t done = 9;
            sp_auto(sp_queue) queue = queue_of_kind(kind);
            assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
            if (closed)
                sp_queue_shutdown(queue, true);
            assert_int_equal(sp_queue_put(queue, &item, 1, nan_seconds), SP_TYPE_ERROR);
            assert_int_equal(sp_queue_get(queue, &item, 1, nan_seconds), SP_TYPE_ERROR);
            assert_int_equal(sp_put(queue, &item, nan_seconds), SP_VALUE_ERROR);
            assert_int_equal(sp_get(queue, &item, nan_seconds), SP_VALUE_ERROR);
            assert_int_equal(sp_queue_put_items(queue, &item, 1, 1, &done, nan_seconds), SP_TYPE_ERROR);
            assert_int_equal(sp_queue_get_items(queue, &item, 1, 1, &done, nan_seconds), SP_TYPE_ERROR);
            assert_int_equal(sp_queue_put_many(queue, &item, 0, &done, nan_seconds), SP_VALUE_ERROR);
            assert_int_equal(sp_queue_get_many(queue, &item, 0, &done, nan_seconds), SP_VALUE_ERROR);
            assert_int_equal(done, 0);
            assert_int_equal(sp_queue_put(NULL, &item, 1, nan_seconds), SP_MEMORY_ERROR);
            assert_int_equal(sp_queue_get(NULL, &item, 1, nan_seconds), SP_MEMORY_ERROR);
            assert_int_equal(sp_queue_size(queue), closed ? 0 : 1);
        }
}

/* A batch that finds room for some says how many, and what the next one met. */
static void a_batch_says_how_far_it_came(void **state)
{
    (void)state;
    int items[5] = { 1, 2, 3, 4, 5 };
    size_t done = 9;
    for (int lifo = 0; lifo < 2; lifo++) {
        sp_auto(sp_queue) queue = sp_queue_of(int, .maxsize = 3, .order = lifo ? SP_LIFO : SP_FIFO);
        assert_int_equal(sp_queue_put_many(queue, items, 5, &done, SP_NOWAIT), SP_FULL);
        assert_int_equal(done, 3);
        assert_int_equal(sp_queue_put_many(queue, items, 5, NULL, SP_NOWAIT), SP_FULL);
        assert_int_equal(sp_queue_get_many(queue, items, 2, NULL, SP_NOWAIT), SP_OK);
        assert_int_equal(sp_queue_get_many(queue, items, 5, &done, SP_FOREVER), SP_OK); /* waits for the first alone */
        assert_int_equal(done, 1);
        assert_int_equal(sp_queue_get_many(queue, items, 5, &done, SP_NOWAIT), SP_EMPTY);
        assert_int_equal(done, 0);
    }
}

/* ---- futures ---- */

/* `end`: 0 a result, 1 an error, 2 cancelled. */
static sp_future *ended_future(int end)
{
    int number = 3;
    sp_future *future = sp_future_new(&triple_sp_task, &number);
    if (end == 0)
        assert_int_equal(sp_future_set_result(future, &number, sizeof number), SP_OK);
    else if (end == 1)
        assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_TIMEOUT }), SP_OK);
    else
        assert_true(sp_future_cancel(future));
    return future;
}

static void what_a_done_future_says(void **state)
{
    (void)state;
    static const sp_status ends[] = { SP_OK, SP_TIMEOUT, SP_CANCELLED };
    char small = 1;
    for (int end = 0; end < 3; end++) {
        int value = -1;
        sp_future *future = ended_future(end);
        assert_int_equal(sp_future_result(future, &small, 1, nan_seconds), SP_TYPE_ERROR);
        assert_int_equal(sp_result(future, &value, nan_seconds), SP_VALUE_ERROR);
        assert_int_equal(sp_result_of(wait_at_gate, future, &value, nan_seconds), SP_TYPE_ERROR);
        assert_int_equal(sp_result(future, &value, SP_NOWAIT), ends[end]);
        assert_int_equal(sp_result(future, &value, -1), ends[end]);
        assert_true(sp_future_wait(future, SP_NOWAIT) && sp_future_wait(future, nan_seconds));
        assert_int_equal(sp_wait(&future, 1, SP_ALL_COMPLETED, SP_NOWAIT), SP_OK);
        assert_int_equal(sp_wait(&future, 1, SP_FIRST_COMPLETED, SP_NOWAIT), SP_OK);
        assert_int_equal(sp_wait(&future, 1, SP_FIRST_ERROR, SP_NOWAIT), SP_OK);
        assert_int_equal(sp_wait(&future, 1, SP_ALL_COMPLETED, nan_seconds), SP_VALUE_ERROR);
        /* the size is looked at before the state */
        assert_int_equal(sp_future_set_result(future, &small, 1), SP_TYPE_ERROR);
        assert_int_equal(sp_future_set_result(future, &value, sizeof value), SP_INVALID_STATE);
        assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_OK }), SP_VALUE_ERROR);
        assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_FULL }), SP_INVALID_STATE);
        assert_false(sp_future_set_running(future));
        assert_int_equal(sp_future_cancel(future), end == 2);
        assert_int_equal(value, end == 0 ? 3 : -1);
        sp_future_release(future);
    }
    assert_int_equal(sp_future_result(NULL, &small, 1, nan_seconds), SP_VALUE_ERROR);
}

static void what_a_pending_future_says(void **state)
{
    (void)state;
    int number = 3, value = -1;
    char small = 1;
    for (int runs = 0; runs < 2; runs++) {
        sp_auto(sp_future) future = sp_future_new(&triple_sp_task, &number);
        assert_true(!runs || sp_future_set_running(future));
        assert_int_equal(sp_future_result(future, &small, 1, SP_NOWAIT), SP_TYPE_ERROR);
        assert_int_equal(sp_result(future, &value, SP_NOWAIT), SP_TIMEOUT);
        assert_null(sp_future_error(future));
        assert_int_equal(sp_wait(&future, 1, SP_FIRST_ERROR, SP_NOWAIT), SP_TIMEOUT);
        assert_int_equal(sp_wait(&future, 0, SP_FIRST_COMPLETED, SP_NOWAIT), SP_OK);
        assert_int_equal(sp_wait(&future, 0, SP_ALL_COMPLETED, SP_NOWAIT), SP_OK);
        assert_int_equal(sp_wait(&future, 0, (sp_wait_until)7, SP_NOWAIT), SP_VALUE_ERROR);
        assert_int_equal(sp_future_set_result(future, &small, 1), SP_TYPE_ERROR);
        assert_int_equal(sp_future_set_result(future, NULL, 0), SP_TYPE_ERROR); /* it has a result */
        assert_int_equal(sp_future_cancel(future), !runs);
        assert_int_equal(sp_result(future, &value, SP_NOWAIT), runs ? SP_TIMEOUT : SP_CANCELLED);
        assert_int_equal(value, -1);
    }
}

/* An error and a pending one in one set; a cancelled one is no error. */
static void a_set_says_what_it_has_before_the_time(void **state)
{
    (void)state;
    int number = 3;
    sp_future *set[] = { sp_future_new(&triple_sp_task, &number), ended_future(2), ended_future(1) };
    assert_int_equal(sp_wait(set, 3, SP_FIRST_ERROR, SP_NOWAIT), SP_OK);
    assert_int_equal(sp_wait(set, 2, SP_FIRST_ERROR, SP_NOWAIT), SP_TIMEOUT);
    assert_int_equal(sp_wait(set, 2, SP_FIRST_ERROR, 0.001), SP_TIMEOUT);
    assert_int_equal(sp_wait(set, 2, SP_FIRST_COMPLETED, SP_NOWAIT), SP_OK);
    assert_int_equal(sp_wait(set, 3, SP_ALL_COMPLETED, 0.001), SP_TIMEOUT);
    sp_auto(sp_completion) late = sp_as_completed(set, 3, SP_NOWAIT);
    assert_true(sp_next(late) != NULL && sp_next(late) != NULL); /* these are done */
    assert_int_equal(sp_completion_status(late), SP_OK);
    assert_null(sp_next(late));
    assert_int_equal(sp_completion_status(late), SP_TIMEOUT);
    assert_int_equal(sp_result(set[2], NULL, SP_NOWAIT), SP_TIMEOUT);
    sp_release_all(set, 3);
}

/* The future of a submit without memory is that of no task. */
static void without_memory_that_is_what_is_said(void **state)
{
    (void)state;
    int value = -1;
    char small = 1;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp__fault_arm(1, true);
    sp_future *future = sp_future_new(&triple_sp_task, &(int){ 1 });
    sp__fault_disarm();
    assert_int_equal(sp_result(future, &value, SP_NOWAIT), SP_MEMORY_ERROR);
    assert_int_equal(sp_result_of(triple, future, &value, SP_NOWAIT), SP_MEMORY_ERROR);
    assert_int_equal(sp_future_result(future, &small, 1, SP_NOWAIT), SP_MEMORY_ERROR);
    assert_int_equal(sp_future_set_result(future, &value, sizeof value), SP_INVALID_STATE);
    assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_FULL }), SP_INVALID_STATE);
    assert_false(sp_future_cancel(future) || sp_future_cancelled(future) || sp_future_running(future));
    assert_true(sp_future_done(future) && sp_future_wait(future, SP_NOWAIT));
    assert_int_equal(sp_wait(&future, 1, SP_FIRST_ERROR, SP_NOWAIT), SP_OK);
    assert_int_equal(value, -1);
}

/* ---- threads and timers ---- */

static sp_thread *self;

static sp_status ask_for_oneself(const sp_none *in, int *out)
{
    char small;
    (void)in;
    sp_event_wait(&gate, SP_FOREVER);
    *out = sp_join(self, NULL, SP_NOWAIT) == SP_DEADLOCK && sp_thread_wait(self, SP_NOWAIT) == SP_DEADLOCK &&
           sp_join(self, out, nan_seconds) == SP_VALUE_ERROR && sp_thread_wait(self, nan_seconds) == SP_VALUE_ERROR &&
           sp_thread_join(self, &small, 1, nan_seconds) == SP_TYPE_ERROR;
    return SP_OK;
}
SP_TASK(ask_for_oneself, sp_none, int);

static void what_a_thread_says(void **state)
{
    (void)state;
    int value = 0;
    char small = 1;
    sp_event_clear(&gate);
    self = sp_start(ask_for_oneself);
    assert_int_equal(sp_thread_join(self, &small, 1, SP_NOWAIT), SP_TYPE_ERROR);
    assert_int_equal(sp_join(self, &value, SP_NOWAIT), SP_TIMEOUT);
    sp_event_set(&gate);
    assert_int_equal(sp_join(self, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 1);
    assert_int_equal(sp_thread_join(self, &small, 1, nan_seconds), SP_TYPE_ERROR);
    assert_int_equal(sp_join(self, &value, nan_seconds), SP_VALUE_ERROR);
    assert_int_equal(sp_join(self, &value, SP_NOWAIT), SP_OK); /* it has ended: no time is needed */
    assert_int_equal(sp_thread_wait(self, SP_NOWAIT), SP_OK);
    sp_thread_release(self);
    assert_int_equal(sp_thread_join(NULL, &small, 1, nan_seconds), SP_MEMORY_ERROR);
    assert_int_equal(sp_thread_wait(NULL, nan_seconds), SP_MEMORY_ERROR);
    assert_int_equal(sp_thread_set_name(NULL, NULL), SP_VALUE_ERROR);
}

static void what_a_timer_says(void **state)
{
    (void)state;
    sp_timer *far = sp_timer_start(1e6, return_it, SP_FULL), *now = sp_timer_start(0, return_it, SP_FULL);
    assert_int_equal(sp_timer_join(far, SP_NOWAIT), SP_TIMEOUT);
    assert_int_equal(sp_timer_join(far, nan_seconds), SP_VALUE_ERROR);
    assert_true(sp_timer_cancel(far));
    assert_int_equal(sp_timer_join(far, SP_NOWAIT), SP_CANCELLED);
    assert_int_equal(sp_timer_join(far, nan_seconds), SP_VALUE_ERROR);
    assert_int_equal(sp_timer_join(now, SP_FOREVER), SP_FULL);
    assert_int_equal(sp_timer_join(now, SP_NOWAIT), SP_FULL);
    assert_int_equal(sp_timer_join(now, nan_seconds), SP_VALUE_ERROR);
    assert_false(sp_timer_cancel(now));
    assert_int_equal(sp_timer_join(NULL, nan_seconds), SP_MEMORY_ERROR);
    sp_timer_release(far);
    sp_timer_release(now);
}

/* ---- pools and maps ---- */

static void what_a_closed_pool_says(void **state)
{
    (void)state;
    int in[2] = { 1, 2 }, out[2] = { 7, 7 };
    for (int kind = 0; kind < 3; kind++) {
        sp_executor *pool = kind == 0   ? sp_thread_pool(.max_workers = 1, .max_pending = 1)
                            : kind == 1 ? sp_inline_pool()
                                        : sp_inline_pool(.seed = 3);
        assert_true(sp_executor_wait_idle(pool, SP_NOWAIT)); /* nothing to wait for */
        assert_int_equal(sp_shutdown(pool), SP_OK);
        assert_int_equal(sp_map(pool, triple, in, out, 0), SP_OK); /* none of none is refused */
        assert_int_equal(sp_map(pool, triple, in, out, 2), SP_SHUT_DOWN);
        assert_int_equal(sp_post(pool, triple, 1), SP_SHUT_DOWN);
        assert_true(sp_executor_wait_idle(pool, SP_NOWAIT));
        assert_int_equal(sp_shutdown(pool, .no_wait = true, .cancel_futures = true), SP_OK);
        sp_executor_release(pool);
    }
    assert_int_equal(sp_map(NULL, triple, in, out, 0), SP_OK);
    assert_int_equal(out[0] + out[1], 14);
}

/* Full and closed at a time. */
static void a_pool_without_room_that_is_closed_is_shut_down(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    sp_executor *pool = sp_thread_pool(.max_workers = 1, .max_pending = 1);
    sp_auto(sp_future) running = sp_submit(pool, wait_at_gate);
    test_await(sp_future_running(running));
    sp_auto(sp_future) queued = sp_submit(pool, triple, 1);
    assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK);
    assert_int_equal(sp_post(pool, triple, 1), SP_SHUT_DOWN); /* and does not wait for room */
    assert_false(sp_executor_wait_idle(pool, SP_NOWAIT));
    sp_event_set(&gate);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(sp_result(queued, NULL, SP_NOWAIT), SP_OK);
    sp_executor_release(pool);
}

static bool pull_once(void *context, void *ret_arg)
{
    *(sp_status *)ret_arg = SP_TIMEOUT;
    return (*(int *)context)++ == 0;
}

static void what_a_mapping_says(void **state)
{
    (void)state;
    int pulled = 0, value = -1;
    char small;
    sp_auto(sp_executor) pool = sp_inline_pool();
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, return_it, pull_once, &pulled, .buffersize = 2);
    assert_int_equal(sp_mapping_next(mapping, &small, 1, nan_seconds), SP_TYPE_ERROR);
    assert_int_equal(sp_map_next(mapping, &value, nan_seconds), SP_VALUE_ERROR);
    assert_int_equal(pulled, 0);
    assert_int_equal(sp_map_next(mapping, &value, SP_NOWAIT), SP_TIMEOUT); /* the task's own */
    assert_non_null(sp_mapping_error(mapping));
    assert_int_equal(sp_mapping_next(mapping, &small, 1, SP_NOWAIT), SP_TYPE_ERROR); /* also at the end */
    assert_null(sp_mapping_error(mapping));                                          /* that of the last call */
    assert_int_equal(sp_map_next(mapping, &value, nan_seconds), SP_VALUE_ERROR);
    assert_int_equal(sp_map_next(mapping, &value, SP_NOWAIT), SP_STOP);
    assert_int_equal(sp_mapping_next(NULL, &small, 1, nan_seconds), SP_MEMORY_ERROR);
    assert_int_equal(value, -1);
    errno = 0;
    assert_null(sp_map_lazy(NULL, return_it, NULL, NULL));
    assert_int_equal(errno, EINVAL);
}

/* ---- barriers ---- */

static void what_is_wrong_with_a_wait_at_a_barrier_comes_first(void **state)
{
    (void)state;
    sp_barrier broken = SP_BARRIER(2), nobody = SP_BARRIER(0);
    sp_barrier_abort(&broken);
    sp_barrier_abort(&nobody);
    assert_int_equal(sp_barrier_wait(&broken, NULL, nan_seconds), SP_VALUE_ERROR);
    assert_int_equal(sp_barrier_wait(&nobody, NULL, SP_NOWAIT), SP_VALUE_ERROR);
    assert_int_equal(sp_barrier_wait(&broken, NULL, SP_NOWAIT), SP_BROKEN_BARRIER);
}

int main(void)
{
    nan_seconds = strtod("nan", NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_that_is_full_and_closed_is_shut_down),
        cmocka_unit_test(a_queue_that_is_closed_gives_what_is_left),
        cmocka_unit_test(what_is_wrong_with_a_call_of_a_queue_comes_first),
        cmocka_unit_test(a_batch_says_how_far_it_came),
        cmocka_unit_test(what_a_done_future_says),
        cmocka_unit_test(what_a_pending_future_says),
        cmocka_unit_test(a_set_says_what_it_has_before_the_time),
        cmocka_unit_test(without_memory_that_is_what_is_said),
        cmocka_unit_test(what_a_thread_says),
        cmocka_unit_test(what_a_timer_says),
        cmocka_unit_test(what_a_closed_pool_says),
        cmocka_unit_test(a_pool_without_room_that_is_closed_is_shut_down),
        cmocka_unit_test(what_a_mapping_says),
        cmocka_unit_test(what_is_wrong_with_a_wait_at_a_barrier_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
