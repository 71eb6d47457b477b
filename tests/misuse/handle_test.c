/* Misuse of handles that no other test has: NULL, NaN, a call from one's own task or callback, after shutdown.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <spool.h>

#include "base/atomic.h"

static double nan_seconds;
static sp_event gate;

static int triple(int x)
{
    return 3 * x;
}
SP_FUNCTION(triple, int, int);

static sp_status wait_at_gate(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_at_gate, sp_none, sp_none);

/* ---- NULL ---- */

static void a_thread_that_is_null(void **state)
{
    (void)state;
    assert_false(sp_thread_is_alive(NULL));
    assert_null(sp_thread_error(NULL));
    assert_null(sp_thread_retain(NULL));
    sp_thread_release(NULL);
    assert_string_equal(sp_thread_name(NULL), "?");
    assert_int_equal(sp_thread_ident(NULL), 0);
    assert_int_equal(sp_thread_native_id(NULL), 0);
    assert_false(sp_thread_is_daemon(NULL));
}

static void a_queue_that_is_null(void **state)
{
    (void)state;
    size_t done = 7;
    int item = 5;
    assert_int_equal(sp_queue_put_items(NULL, &item, sizeof item, 1, &done, SP_FOREVER), SP_MEMORY_ERROR);
    assert_int_equal(done, 0);
    done = 7;
    assert_int_equal(sp_queue_get_items(NULL, &item, sizeof item, 1, &done, SP_FOREVER), SP_MEMORY_ERROR);
    assert_int_equal(done, 0);
    assert_int_equal(item, 5);
    assert_int_equal(sp_queue_task_done(NULL), SP_VALUE_ERROR);
    assert_true(sp_queue_join(NULL, SP_FOREVER));
    sp_queue_shutdown(NULL, true);
    assert_int_equal(sp_queue_size(NULL) + sp_queue_maxsize(NULL), 0);
    assert_true(sp_queue_empty(NULL));
    assert_false(sp_queue_full(NULL));
    assert_null(sp_queue_retain(NULL));
    sp_queue_release(NULL);
}

static void count_call(sp_future *future, void *context)
{
    (void)future;
    ++*(int *)context;
}

static void a_future_that_is_null(void **state)
{
    (void)state;
    int calls = 0, value = 5;
    sp_future *none = NULL;
    assert_int_equal(sp_result(none, &value, SP_FOREVER), SP_VALUE_ERROR);
    assert_int_equal(sp_result_of(triple, none, &value, SP_FOREVER), SP_VALUE_ERROR);
    assert_int_equal(value, 5);
    assert_false(sp_future_wait(NULL, SP_FOREVER));
    assert_null(sp_future_error(NULL));
    assert_null(sp_future_arg(NULL));
    assert_false(sp_future_cancel(NULL) || sp_future_cancelled(NULL) || sp_future_running(NULL) ||
                 sp_future_done(NULL));
    assert_string_equal(sp_future_task_name(NULL), "?");
    assert_null(sp_future_retain(NULL));
    sp_future_release(NULL);
    sp_release_all(&none, 1);
    assert_false(sp_future_set_running(NULL));
    sp_future_add_done_callback(NULL, count_call, &calls);
    assert_int_equal(calls, 0);
}

static void an_executor_that_is_null(void **state)
{
    (void)state;
    sp_executor *none = NULL;
    int in[2] = { 1, 2 }, out[2] = { 7, 7 };
    sp_executor_statistics statistics;
    memset(&statistics, 0xff, sizeof statistics);
    assert_int_equal(sp_post(none, triple, 1), SP_MEMORY_ERROR);
    assert_int_equal(sp_map(none, triple, in, out, 2), SP_MEMORY_ERROR);
    assert_int_equal(out[0] + out[1], 14);
    assert_int_equal(sp_shutdown(none), SP_OK);
    assert_true(sp_executor_wait_idle(NULL, SP_FOREVER));
    sp_executor_stats(NULL, &statistics);
    assert_int_equal(statistics.submitted + statistics.completed + statistics.workers, 0);
    assert_null(sp_executor_retain(NULL));
    sp_executor_release(NULL);
}

/* ---- NaN, and options that are none ---- */

static void nan_is_a_value_error_or_passed(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_queue) queue = sp_queue_of(int);
    int item = 1;
    sp_event_clear(&gate);
    sp_auto(sp_future) future = sp_submit(pool, wait_at_gate);
    assert_int_equal(sp_result(future, NULL, nan_seconds), SP_VALUE_ERROR);
    assert_false(sp_future_wait(future, nan_seconds));
    assert_false(sp_executor_wait_idle(pool, nan_seconds));
    assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
    assert_false(sp_queue_join(queue, nan_seconds));
    assert_false(sp_join_all(nan_seconds)); /* the pool is busy */
    sp_event_set(&gate);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
}

static void options_that_are_refused(void **state)
{
    (void)state;
    union {
        char bytes[8];
        uint64_t aligned;
    } fake = { .aligned = 0 };
    errno = 0;
    assert_null(sp_thread_pool(.gil = (sp_gil *)(void *)fake.bytes));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(sp_queue_of(int, .order = SP_PRIORITY));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(sp_queue_of(int, .order = (sp_queue_order)9));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(sp_queue_new(0, NULL));
    assert_int_equal(errno, EINVAL);
}

/* ---- one's own task, one's own callback ---- */

static sp_executor *own;
static uint32_t answers; /* atomic; what a callback was told, and 256 for having been called */

static void ask_own_pool(sp_future *future, void *context)
{
    (void)future, (void)context;
    uint32_t idle = sp_executor_wait_idle(own, SP_FOREVER), status = (uint32_t)sp_shutdown(own);
    sp__store_release(&answers, 256 + (idle ? 128 : status));
}

static void shutdown_in_a_callback_of_the_pool_is_deadlock(void **state)
{
    (void)state;
    own = sp_thread_pool(.max_workers = 1);
    sp_event_clear(&gate);
    sp_auto(sp_future) future = sp_submit(own, wait_at_gate);
    sp_future_add_done_callback(future, ask_own_pool, NULL);
    sp_event_set(&gate);
    test_await(sp__load_acquire(&answers) != 0);
    assert_int_equal(answers, 256 + SP_DEADLOCK);
    assert_int_equal(sp_post(own, triple, 1), SP_SHUT_DOWN); /* closed all the same */
    assert_int_equal(sp_shutdown(own), SP_OK);
    sp_executor_release(own);
}

static sp_status close_without_waiting(const sp_none *in, sp_status *out)
{
    (void)in;
    *out = sp_shutdown(own, .no_wait = true);
    return SP_OK;
}
SP_TASK(close_without_waiting, sp_none, sp_status);

static void shutdown_no_wait_in_a_task_of_the_pool_is_fine(void **state)
{
    (void)state;
    own = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(own, close_without_waiting);
    sp_status inner = SP_DEADLOCK;
    assert_int_equal(sp_result(future, &inner, SP_FOREVER), SP_OK);
    assert_int_equal(inner, SP_OK);
    assert_int_equal(sp_shutdown(own), SP_OK);
    sp_executor_release(own);
}

static sp_status join_everybody(const sp_none *in, bool *out)
{
    (void)in;
    *out = sp_join_all(SP_FOREVER);
    return SP_OK;
}
SP_TASK(join_everybody, sp_none, bool);

static void join_all_in_a_thread_or_task_skips_itself(void **state)
{
    (void)state;
    own = sp_thread_pool(.max_workers = 1);
    bool all = false;
    sp_auto(sp_future) future = sp_submit(own, join_everybody);
    assert_int_equal(sp_result(future, &all, SP_FOREVER), SP_OK);
    assert_true(all);
    all = false;
    sp_auto(sp_thread) thread = sp_start(join_everybody);
    assert_int_equal(sp_join(thread, &all, SP_FOREVER), SP_OK);
    assert_true(all); /* it also drained the pool */
    assert_int_equal(sp_post(own, triple, 1), SP_SHUT_DOWN);
    sp_executor_release(own);
}

/* ---- a future that belongs to a pool ---- */

static void the_future_of_a_pool_is_not_for_others_to_end(void **state)
{
    (void)state;
    int value = 0;
    own = sp_thread_pool(.max_workers = 1);
    sp_event_clear(&gate);
    sp_auto(sp_future) first = sp_submit(own, wait_at_gate);
    sp_auto(sp_future) future = sp_submit(own, triple, 2);
    assert_false(sp_future_set_running(future));
    assert_int_equal(sp_future_set_result(future, &value, sizeof value), SP_INVALID_STATE);
    assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_OS_ERROR }), SP_INVALID_STATE);
    sp_event_set(&gate);
    assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 6);
    assert_int_equal(sp_shutdown(own), SP_OK);
    sp_executor_release(own);
}

/* ---- after shutdown ---- */

static void calls_after_shutdown(void **state)
{
    (void)state;
    int items[2] = { 1, 2 }, item = 0;
    size_t done = 7;
    sp_auto(sp_queue) queue = sp_queue_of(int, .maxsize = 2);
    assert_int_equal(sp_put(queue, &items[0], SP_NOWAIT), SP_OK);
    sp_queue_shutdown(queue, false);
    sp_queue_shutdown(queue, false);
    assert_int_equal(sp_put(queue, &items[1], SP_FOREVER), SP_SHUT_DOWN);
    assert_int_equal(sp_queue_put_many(queue, items, 2, &done, SP_FOREVER), SP_SHUT_DOWN);
    assert_int_equal(done, 0);
    assert_int_equal(sp_get(queue, &item, SP_FOREVER), SP_OK);
    assert_int_equal(sp_get(queue, &item, SP_FOREVER), SP_SHUT_DOWN);
    assert_int_equal(sp_queue_get_many(queue, items, 2, &done, SP_FOREVER), SP_SHUT_DOWN);
    assert_int_equal(item, 1);
    assert_int_equal(sp_queue_task_done(queue), SP_OK);
    assert_int_equal(sp_queue_task_done(queue), SP_VALUE_ERROR);
    own = sp_thread_pool(.max_workers = 1);
    assert_int_equal(sp_shutdown(own), SP_OK);
    assert_int_equal(sp_shutdown(own, .cancel_futures = true), SP_OK);
    assert_int_equal(sp_post(own, triple, 1), SP_SHUT_DOWN);
    assert_true(sp_executor_wait_idle(own, SP_FOREVER));
    sp_executor_release(own);
}

int main(void)
{
    nan_seconds = strtod("nan", NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_is_null),
        cmocka_unit_test(a_queue_that_is_null),
        cmocka_unit_test(a_future_that_is_null),
        cmocka_unit_test(an_executor_that_is_null),
        cmocka_unit_test(nan_is_a_value_error_or_passed),
        cmocka_unit_test(options_that_are_refused),
        cmocka_unit_test(shutdown_in_a_callback_of_the_pool_is_deadlock),
        cmocka_unit_test(shutdown_no_wait_in_a_task_of_the_pool_is_fine),
        cmocka_unit_test(join_all_in_a_thread_or_task_skips_itself),
        cmocka_unit_test(the_future_of_a_pool_is_not_for_others_to_end),
        cmocka_unit_test(calls_after_shutdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
