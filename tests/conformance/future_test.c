/* Futures behave like concurrent.futures.Future.

   SPDX-License-Identifier: MIT */
#include "conformance/futures.h"

#include <string.h>

#include "conformance/bunch.h"

/* ---- callbacks ---- */

struct note {
    int calls, value;
    sp_status status;
    bool cancelled;
    char message[64];
};

static void note_end(sp_future *future, void *context)
{
    struct note *note = context;
    note->calls++;
    note->status = sp_result(future, &note->value, SP_NOWAIT);
    note->cancelled = sp_future_cancelled(future);
    const sp_error *error = sp_future_error(future);
    snprintf(note->message, sizeof note->message, "%s", error != NULL ? error->message : "");
}

static void a_callback_sees_the_result(void **state)
{
    (void)state;
    struct note note = { .calls = 0 };
    sp_auto(sp_future) future = pending_future();
    sp_future_add_done_callback(future, note_end, &note);
    assert_int_equal(note.calls, 0);
    end_with(future, 5);
    assert_int_equal(note.calls, 1);
    assert_int_equal(note.status, SP_OK);
    assert_int_equal(note.value, 5);
}

static void a_callback_sees_the_error(void **state)
{
    (void)state;
    struct note note = { .calls = 0 };
    sp_auto(sp_future) future = pending_future();
    sp_future_add_done_callback(future, note_end, &note);
    fail_with(future, "test");
    assert_int_equal(note.calls, 1);
    assert_int_equal(note.status, SP_OS_ERROR);
    assert_string_equal(note.message, "test");
}

static void a_callback_sees_the_cancellation(void **state)
{
    (void)state;
    struct note note = { .calls = 0 };
    sp_auto(sp_future) future = pending_future();
    sp_future_add_done_callback(future, note_end, &note);
    assert_true(sp_future_cancel(future));
    assert_int_equal(note.calls, 1);
    assert_int_equal(note.status, SP_CANCELLED);
    assert_true(note.cancelled);
}

static void a_callback_of_a_future_that_is_done_is_called_at_once(void **state)
{
    (void)state;
    sp_future *const done[] = { successful_future(), failed_future(), cancelled_future() };
    const sp_status expected[] = { SP_OK, SP_OS_ERROR, SP_CANCELLED };
    for (int i = 0; i < 3; i++) {
        struct note note = { .calls = 0 };
        sp_future_add_done_callback(done[i], note_end, &note);
        assert_int_equal(note.calls, 1);
        assert_int_equal(note.status, expected[i]);
        assert_int_equal(note.value, i == 0 ? 42 : 0);
        assert_int_equal(note.cancelled, i == 2);
        const sp_error *error = sp_future_error(done[i]);
        assert_string_equal(note.message, error != NULL ? error->message : "");
    }
    sp_release_all(done, 3);
}

static void raise_it(sp_future *future, void *context)
{
    (void)future;
    ++*(int *)context;
    (void)sp_raise(SP_VALUE_ERROR, "doh!");
}

static sp_status return_value_error(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_VALUE_ERROR; /* bare */
}
SP_TASK(return_value_error, sp_none, sp_none);

static void a_callback_that_raises_keeps_no_other(void **state)
{
    (void)state;
    int raised = 0;
    struct note note = { .calls = 0 };
    sp_auto(sp_future) future = pending_future();
    sp_future_add_done_callback(future, raise_it, &raised);
    sp_future_add_done_callback(future, note_end, &note);
    end_with(future, 5);
    assert_int_equal(raised, 1);
    assert_int_equal(note.calls, 1);
    assert_int_equal(note.status, SP_OK);
    assert_null(sp_future_error(future));
    sp_future_add_done_callback(future, raise_it, &raised); /* it is done: here and now */
    assert_int_equal(raised, 2);
    assert_null(sp_future_error(future));
}

/* In a worker: neither the error of the task that ended, nor of the one that this worker runs next. */
static void what_a_callback_raises_is_no_tasks_error(void **state)
{
    (void)state;
    int raised = 0;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    gate_close();
    sp_auto(sp_future) first = sp_submit(pool, pass, 1);
    sp_auto(sp_future) next = sp_submit(pool, return_value_error);
    sp_future_add_done_callback(first, raise_it, &raised);
    gate_open();
    assert_int_equal(sp_result(next, NULL, SP_FOREVER), SP_VALUE_ERROR);
    assert_int_equal(raised, 1);
    assert_int_equal(sp_result(first, NULL, SP_FOREVER), SP_OK);
    assert_null(sp_future_error(first));
    assert_null(strstr(sp_future_error(next)->message, "doh!"));
}

/* ---- states ---- */

enum { PENDING, RUNNING, CANCELLED, FAILED, SUCCESSFUL, STATES };

static void make_one_of_each(sp_future *futures[STATES])
{
    futures[PENDING] = pending_future();
    futures[RUNNING] = running_future();
    futures[CANCELLED] = cancelled_future();
    futures[FAILED] = failed_future();
    futures[SUCCESSFUL] = successful_future();
}

static void check_states(sp_future *const futures[STATES], const char *expected)
{
    char seen[STATES + 1] = "";
    for (int i = 0; i < STATES; i++) {
        bool cancelled = sp_future_cancelled(futures[i]), running = sp_future_running(futures[i]);
        assert_false(running && sp_future_done(futures[i]));
        assert_true(!cancelled || sp_future_done(futures[i]));
        seen[i] = cancelled ? 'c' : running ? 'r' : sp_future_done(futures[i]) ? 'd' : 'p';
    }
    assert_string_equal(seen, expected);
}

static void each_state_has_its_answers(void **state)
{
    (void)state;
    sp_future *futures[STATES];
    make_one_of_each(futures);
    check_states(futures, "prcdd");
    sp_release_all(futures, STATES);
}

static void only_what_has_not_begun_is_cancelled(void **state)
{
    (void)state;
    static const bool expected[STATES] = { [PENDING] = true, [CANCELLED] = true };
    sp_future *futures[STATES];
    make_one_of_each(futures);
    for (int i = 0; i < STATES; i++)
        assert_int_equal(sp_future_cancel(futures[i]), expected[i]);
    check_states(futures, "crcdd");
    sp_release_all(futures, STATES);
}

static void the_result_without_waiting_in_each_state(void **state)
{
    (void)state;
    static const sp_status expected[STATES] = { SP_TIMEOUT, SP_TIMEOUT, SP_CANCELLED, SP_OS_ERROR, SP_OK };
    sp_future *futures[STATES];
    make_one_of_each(futures);
    for (int i = 0; i < STATES; i++) {
        int value = -1;
        assert_int_equal(sp_result(futures[i], &value, SP_NOWAIT), expected[i]);
        assert_int_equal(value, i == SUCCESSFUL ? 42 : -1);
    }
    sp_release_all(futures, STATES);
}

static void the_error_without_waiting_in_each_state(void **state)
{
    (void)state;
    static const sp_status expected[STATES] = { [CANCELLED] = SP_CANCELLED, [FAILED] = SP_OS_ERROR };
    sp_future *futures[STATES];
    make_one_of_each(futures);
    for (int i = 0; i < STATES; i++) {
        const sp_error *error = sp_future_error(futures[i]);
        assert_int_equal(error != NULL ? error->status : SP_OK, expected[i]);
    }
    sp_release_all(futures, STATES);
}

/* ---- waiting for what another thread does ---- */

struct waiter {
    sp_future *future;
    sp_status status;
    int value;
};

static void wait_for_result(void *context)
{
    struct waiter *waiter = context;
    waiter->status = sp_result(waiter->future, &waiter->value, 60.0);
}

static void wait_for_error(void *context)
{
    struct waiter *waiter = context;
    const sp_error *error = sp_future_wait(waiter->future, 60.0) ? sp_future_error(waiter->future) : NULL;
    waiter->status = error != NULL ? error->status : SP_OK;
}

static void cancel(sp_future *future)
{
    assert_true(sp_future_cancel(future));
}

static void set_42(sp_future *future)
{
    end_with(future, 42);
}

static void set_error(sp_future *future)
{
    fail_with(future, "from elsewhere");
}

static struct waiter woken_by(void (*end)(sp_future *future), void (*wait)(void *context))
{
    struct waiter waiter = { .future = pending_future() };
    struct bunch bunch;
    bunch_start(&bunch, 1, wait, &waiter);
    bunch_await_sleep(&bunch);
    end(waiter.future);
    bunch_join(&bunch);
    sp_future_release(waiter.future);
    return waiter;
}

static void a_waiter_gets_the_result(void **state)
{
    (void)state;
    struct waiter waiter = woken_by(set_42, wait_for_result);
    assert_int_equal(waiter.status, SP_OK);
    assert_int_equal(waiter.value, 42);
}

static void a_waiter_is_told_of_the_cancellation(void **state)
{
    (void)state;
    assert_int_equal(woken_by(cancel, wait_for_result).status, SP_CANCELLED);
}

static void a_waiter_gets_the_error(void **state)
{
    (void)state;
    assert_int_equal(woken_by(set_error, wait_for_error).status, SP_OS_ERROR);
    assert_int_equal(woken_by(set_error, wait_for_result).status, SP_OS_ERROR);
}

/* ---- ended twice ---- */

static void the_first_result_stays(void **state)
{
    (void)state;
    int value = 2;
    sp_auto(sp_future) future = pending_future();
    end_with(future, 1);
    assert_int_equal(sp_future_set_result(future, &value, sizeof value), SP_INVALID_STATE);
    assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_OS_ERROR }), SP_INVALID_STATE);
    assert_true(sp_future_done(future));
    assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 1);
}

static void the_first_error_stays(void **state)
{
    (void)state;
    int value = 2;
    sp_auto(sp_future) future = pending_future();
    fail_with(future, "the first");
    const sp_error *error = sp_future_error(future);
    assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_VALUE_ERROR, .message = "the second" }),
                     SP_INVALID_STATE);
    assert_int_equal(sp_future_set_result(future, &value, sizeof value), SP_INVALID_STATE);
    assert_ptr_equal(sp_future_error(future), error);
    assert_string_equal(error->message, "the first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callback_sees_the_result),
        cmocka_unit_test(a_callback_sees_the_error),
        cmocka_unit_test(a_callback_sees_the_cancellation),
        cmocka_unit_test(a_callback_of_a_future_that_is_done_is_called_at_once),
        cmocka_unit_test(a_callback_that_raises_keeps_no_other),
        cmocka_unit_test(what_a_callback_raises_is_no_tasks_error),
        cmocka_unit_test(each_state_has_its_answers),
        cmocka_unit_test(only_what_has_not_begun_is_cancelled),
        cmocka_unit_test(the_result_without_waiting_in_each_state),
        cmocka_unit_test(the_error_without_waiting_in_each_state),
        cmocka_unit_test(a_waiter_gets_the_result),
        cmocka_unit_test(a_waiter_is_told_of_the_cancellation),
        cmocka_unit_test(a_waiter_gets_the_error),
        cmocka_unit_test(the_first_result_stays),
        cmocka_unit_test(the_first_error_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
