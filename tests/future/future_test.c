/* Futures: one end, told to everybody once.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

static int square(int x)
{
    return x * x;
}
SP_FUNCTION(square, int, int);

static double root(double x)
{
    return x;
}
SP_FUNCTION(root, double, double);

static sp_future *fresh(int arg)
{
    return sp_future_new(&square_sp_task, &arg);
}

static sp_status end_with(sp_future *future, int value)
{
    return sp_future_set_result(future, &value, sizeof value);
}

/* ---- statuses ---- */

static void set_result_then_invalid_state(void **state)
{
    (void)state;
    sp_auto(sp_future) future = fresh(3);
    int value = 0;
    assert_false(sp_future_done(future));
    assert_int_equal(sp_result(future, &value, SP_NOWAIT), SP_TIMEOUT);
    assert_int_equal(sp_result(future, &value, 0.001), SP_TIMEOUT);
    assert_true(sp_future_set_running(future));
    assert_false(sp_future_set_running(future));
    assert_true(sp_future_running(future));
    assert_int_equal(sp_future_set_result(future, &value, 3), SP_TYPE_ERROR);
    assert_int_equal(end_with(future, 9), SP_OK);
    assert_int_equal(end_with(future, 8), SP_INVALID_STATE);
    assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_OS_ERROR }), SP_INVALID_STATE);
    assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 9);
    assert_false(sp_future_cancel(future));
    assert_null(sp_future_error(future));
}

static void result_type_error_and_value_error(void **state)
{
    (void)state;
    sp_auto(sp_future) future = fresh(3);
    char small = 1;
    double wide = 1;
    int value = 5;
    assert_int_equal(end_with(future, 9), SP_OK);
    assert_int_equal(sp_result(future, &small, SP_FOREVER), SP_TYPE_ERROR);
    assert_int_equal(small, 1);
    assert_int_equal(sp_result_of(root, future, &wide, SP_FOREVER), SP_TYPE_ERROR);
    assert_int_equal(sp_result_of(square, future, &value, SP_FOREVER), SP_OK);
    assert_int_equal(sp_result(future, &value, strtod("nan", NULL)), SP_VALUE_ERROR);
    assert_int_equal(sp_result(future, NULL, SP_NOWAIT), SP_OK);
    assert_int_equal(sp_future_result(NULL, NULL, 0, SP_NOWAIT), SP_VALUE_ERROR);
    assert_int_equal(sp_future_set_result(NULL, &value, sizeof value), SP_VALUE_ERROR);
    assert_int_equal(sp_future_set_error(future, NULL), SP_VALUE_ERROR);
    assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_OK }), SP_VALUE_ERROR);
}

static void set_error_is_copied_and_seen(void **state)
{
    (void)state;
    sp_auto(sp_future) future = fresh(3);
    char message[] = "disk on fire";
    assert_int_equal(
        sp_future_set_error(future, &(sp_error){ .status = SP_OS_ERROR, .os_errno = EIO, .message = message }), SP_OK);
    memset(message, 'x', sizeof message - 1);
    const sp_error *error = sp_future_error(future);
    assert_string_equal(error->message, "disk on fire");
    assert_int_equal(error->os_errno, EIO);
    assert_string_equal(error->task, "square");
    assert_int_equal(sp_result(future, NULL, SP_NOWAIT), SP_OS_ERROR);
}

static void cancelled_future_has_an_error_and_no_run(void **state)
{
    (void)state;
    sp_auto(sp_future) future = fresh(3);
    assert_true(sp_future_cancel(future));
    assert_true(sp_future_cancelled(future));
    assert_true(sp_future_done(future));
    assert_false(sp_future_set_running(future));
    assert_int_equal(end_with(future, 1), SP_INVALID_STATE);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_CANCELLED);
    assert_int_equal(sp_future_error(future)->status, SP_CANCELLED);
    assert_string_equal(sp_future_error(future)->task, "square");
}

static void without_memory_the_future_has_failed_with_memory_error(void **state)
{
    (void)state;
    sp__fault_arm(1, true);
    sp_future *future = fresh(3);
    sp__fault_disarm();
    int value = 4;
    assert_non_null(future);
    assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_MEMORY_ERROR);
    assert_int_equal(value, 4);
    assert_int_equal(sp_future_error(future)->status, SP_MEMORY_ERROR);
    assert_null(sp_future_arg(future));
    sp_future_release(future);
    sp_future_release(future); /* it is immortal */
    assert_true(sp_future_done(future));
}

/* ---- what a task returns ---- */

static sp_status answer(const int *in, int *out)
{
    *out = 1;
    switch (*in) {
    case 1:
        return SP_TIMEOUT; /* bare */
    case 2:
        (void)sp_raise(SP_VALUE_ERROR, "handled");
        return SP_OK;
    case 3:
        (void)sp_raise(SP_VALUE_ERROR, "first");
        return SP_TYPE_ERROR;
    case 4:
        return sp_raise(SP_USER_ERROR + 7, "mine: %s", "seven");
    case 5:
        return SP_CANCELLED;
    case 6:
        errno = ENOENT;
        return sp_raise_errno("open %s", "x");
    default:
        return SP_OK;
    }
}
SP_TASK(answer, int, int);

static void the_status_is_what_the_task_returns(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_status expected[] = { SP_OK,        SP_TIMEOUT, SP_OK, SP_TYPE_ERROR, (sp_status)(SP_USER_ERROR + 7),
                             SP_CANCELLED, SP_OS_ERROR };
    for (int i = 0; i < 7; i++) {
        sp_auto(sp_future) future = sp_submit(pool, answer, i);
        int value = 0;
        assert_int_equal(sp_result(future, &value, SP_FOREVER), expected[i]);
        const sp_error *error = sp_future_error(future);
        assert_true((error == NULL) == (expected[i] == SP_OK));
        assert_true(error == NULL || (error->status == expected[i] && error->message != NULL));
        assert_int_equal(sp_future_cancelled(future), i == 5);
        if (i == 3)
            assert_null(strstr(error->message, "first")); /* it raised another status than it returned */
        if (i == 4)
            assert_string_equal(error->message, "mine: seven");
        if (i == 6) {
            assert_int_equal(error->os_errno, ENOENT);
            assert_string_equal(error->message, "open x: No such file or directory");
        }
    }
}

/* ---- callbacks ---- */

static int order_of_calls[8], calls;

static void note_call(sp_future *future, void *context)
{
    assert_true(sp_future_done(future));
    order_of_calls[calls++] = (int)(intptr_t)context;
}

static void add_another(sp_future *future, void *context)
{
    note_call(future, context);
    sp_future_add_done_callback(future, note_call, (void *)(intptr_t)9);
}

static void callbacks_are_called_once_in_order(void **state)
{
    (void)state;
    calls = 0;
    sp_future *future = fresh(1);
    sp_future_add_done_callback(future, note_call, (void *)(intptr_t)1);
    sp_future_add_done_callback(future, add_another, (void *)(intptr_t)2);
    sp_future_add_done_callback(future, note_call, (void *)(intptr_t)3);
    assert_int_equal(calls, 0);
    assert_int_equal(end_with(future, 1), SP_OK);
    assert_int_equal(calls, 4);
    assert_int_equal(order_of_calls[0], 1);
    assert_int_equal(order_of_calls[1], 2);
    assert_int_equal(order_of_calls[2], 9); /* it is done: at once */
    assert_int_equal(order_of_calls[3], 3);
    sp_future_add_done_callback(future, note_call, (void *)(intptr_t)4);
    assert_int_equal(calls, 5);
    sp_future_release(future);
    future = fresh(2);
    sp_future_add_done_callback(future, note_call, NULL); /* never called, and not leaked */
    sp_future_release(future);
    assert_int_equal(calls, 5);
}

static void drop_reference(sp_future *future, void *context)
{
    sp__add_seq_cst((uint32_t *)context, 1);
    sp_future_release(future);
}

static void a_callback_may_drop_the_last_reference(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2);
    long rounds = test_count(200);
    uint32_t dropped = 0;
    for (long i = rounds; i > 0; i--)
        sp_future_add_done_callback(sp_submit(pool, square, 3), drop_reference, &dropped);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    test_await(sp__load_acquire(&dropped) == (uint32_t)rounds); /* the last was called by us, or by a worker */
}

/* ---- errors nobody looked at ---- */

static int unseen;
static char unseen_message[64];

static void note_unseen(const sp_error *error, void *context)
{
    (void)context;
    unseen++;
    snprintf(unseen_message, sizeof unseen_message, "%s", error->message);
}

static void an_error_nobody_looked_at_is_reported_once(void **state)
{
    (void)state;
    sp_set_unseen_error_hook(note_unseen, NULL);
    unseen = 0;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_future *future = sp_submit(pool, answer, 4);
    assert_true(sp_future_wait(future, SP_FOREVER)); /* waiting is not looking */
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    sp_future_release(sp_future_retain(future));
    assert_int_equal(unseen, 0);
    sp_future_release(future);
    assert_int_equal(unseen, 1);
    assert_string_equal(unseen_message, "mine: seven");

    future = sp_submit(pool, answer, 4);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_USER_ERROR + 7);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    sp_future_release(future);
    future = sp_submit(pool, answer, 5); /* cancelled is no error */
    assert_true(sp_future_wait(future, SP_FOREVER));
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    sp_future_release(future);
    assert_int_equal(unseen, 1);

    assert_int_equal(sp_post(pool, answer, 1), SP_OK);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(unseen, 2);
    assert_int_equal(sp_post(pool, answer, 1), SP_SHUT_DOWN); /* told by the status */
    sp_future_release(sp_submit(pool, answer, 1));            /* told by nobody */
    assert_int_equal(unseen, 3);
    sp_set_unseen_error_hook(NULL, NULL);
}

/* ---- ownership ---- */

static uint32_t dropped_args, dropped_results; /* atomic */

static void drop_arg(void *arg)
{
    assert_int_equal(*(int *)arg, 11);
    sp__add_seq_cst(&dropped_args, 1);
}

static void drop_result(void *result)
{
    assert_true(*(int *)result == 0 || *(int *)result == 121);
    sp__add_seq_cst(&dropped_results, 1);
}

static sp_status square_owned(const int *in, int *out)
{
    *out = *in * *in;
    return SP_OK;
}
SP_TASK_OWNING(square_owned, int, int, drop_arg, drop_result);

static void owned_data_is_dropped_once_however_it_ends(void **state)
{
    (void)state;
    dropped_args = dropped_results = 0;
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    sp_future *ran = sp_submit(pool, square_owned, 11);
    int value;
    assert_int_equal(sp_result(ran, &value, SP_FOREVER), SP_OK);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    assert_int_equal(dropped_args, 0);
    sp_future_release(ran);
    assert_int_equal(dropped_args, 1);
    assert_int_equal(dropped_results, 1);
    assert_int_equal(sp_post(pool, square_owned, 11), SP_OK);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(dropped_args, 2);
    sp_future *rejected = sp_submit(pool, square_owned, 11);
    assert_int_equal(sp_result(rejected, NULL, SP_FOREVER), SP_SHUT_DOWN);
    sp_future_release(rejected);
    assert_int_equal(dropped_args, 3);
    assert_int_equal(dropped_results, 3);
    sp__fault_arm(1, true);
    sp_future_release(sp_submit(pool, square_owned, 11));
    sp__fault_disarm();
    assert_int_equal(dropped_args, 4);
    sp_executor_release(pool);
    int eleven = 11;
    sp_future *cancelled = sp_future_new(&square_owned_sp_task, &eleven);
    assert_true(sp_future_cancel(cancelled));
    sp_future_release(cancelled);
    assert_int_equal(dropped_args, 5);
    assert_int_equal(dropped_results, 4);
}

/* ---- races ---- */

struct race {
    sp_future *future;
    sp_event start;
    uint32_t ends; /* atomic; how many believe to have ended it */
};

static void *end_it(void *arg)
{
    struct race *race = arg;
    sp_event_wait(&race->start, SP_FOREVER);
    if (end_with(race->future, 5) == SP_OK)
        sp__add_seq_cst(&race->ends, 1);
    return NULL;
}

static void *fail_it(void *arg)
{
    struct race *race = arg;
    sp_event_wait(&race->start, SP_FOREVER);
    if (sp_future_set_error(race->future, &(sp_error){ .status = SP_OS_ERROR, .message = "no" }) == SP_OK)
        sp__add_seq_cst(&race->ends, 1);
    return NULL;
}

static void *cancel_it(void *arg)
{
    struct race *race = arg;
    sp_event_wait(&race->start, SP_FOREVER);
    if (sp_future_cancel(race->future))
        sp__add_seq_cst(&race->ends, 1);
    return NULL;
}

static void *await_it(void *arg)
{
    struct race *race = arg;
    int value = 5;
    sp_status status = sp_result(race->future, &value, SP_FOREVER);
    assert_true(status == SP_OK ? value == 5 : status == SP_CANCELLED || status == SP_OS_ERROR);
    return NULL;
}

static void exactly_one_end_wins(void **state)
{
    (void)state;
    void *(*const bodies[])(void *) = { end_it, fail_it, cancel_it, await_it };
    sp__fault_spurious(test_seed(), 100);
    for (long i = test_count(500); i > 0; i--) {
        struct race race = { .future = fresh(2) };
        pthread_t threads[4];
        for (int k = 0; k < 4; k++)
            threads[k] = test_thread(bodies[k], &race);
        sp_event_set(&race.start);
        for (int k = 0; k < 4; k++)
            test_join(threads[k]);
        assert_int_equal(race.ends, 1);
        sp_future_release(race.future);
    }
    sp__fault_spurious(0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_result_then_invalid_state),
        cmocka_unit_test(result_type_error_and_value_error),
        cmocka_unit_test(set_error_is_copied_and_seen),
        cmocka_unit_test(cancelled_future_has_an_error_and_no_run),
        cmocka_unit_test(without_memory_the_future_has_failed_with_memory_error),
        cmocka_unit_test(the_status_is_what_the_task_returns),
        cmocka_unit_test(callbacks_are_called_once_in_order),
        cmocka_unit_test(a_callback_may_drop_the_last_reference),
        cmocka_unit_test(an_error_nobody_looked_at_is_reported_once),
        cmocka_unit_test(owned_data_is_dropped_once_however_it_ends),
        cmocka_unit_test(exactly_one_end_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
