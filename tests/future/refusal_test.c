/* What a future refuses, whose error is told, and on whose account its callbacks run.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <pthread.h>
#include <string.h>

#include <spool.h>

#include "executor/pool.h"
#include "os/fault.h"

static sp_executor *pool; /* of the test that runs */
static sp_event goes_on;
static unsigned dropped, told; /* by the main thread alone */

static void drop(void *owned)
{
    (void)owned;
    dropped++;
}

static sp_status own(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK_OWNING(own, int, int, drop, drop);

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return *in >= 0 ? SP_OK : SP_VALUE_ERROR;
}
SP_TASK(pass, int, int);

static sp_status other(const int *in, int *out)
{
    return pass(in, out);
}
SP_TASK(other, int, int);

static sp_future *pending(void)
{
    return sp_future_new(&pass_sp_task, &(int){ 1 });
}

static sp_status set(sp_future *future, int value)
{
    return sp_future_set_result(future, &value, sizeof value);
}

static void end_pool(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(sp__pool_of(pool)->lent, 0);
    assert_int_equal(sp__load_relaxed(&sp__pool_of(pool)->crew), 0);
    sp_executor_release(pool);
}

/* ---- values ---- */

static void without_memory_the_argument_is_dropped(void **state)
{
    (void)state;
    dropped = 0;
    sp__fault_arm(1, false);
    sp_future *future = sp_future_new(&own_sp_task, &(int){ 1 });
    assert_int_equal(sp__fault_disarm(), 1);
    assert_int_equal(dropped, 1);
    assert_int_equal(sp_future_error(future)->status, SP_MEMORY_ERROR);
    assert_null(sp_future_arg(future));
    sp_future_release(future);
}

static void a_value_of_another_size_is_neither_read_nor_set(void **state)
{
    (void)state;
    sp_auto(sp_future) future = pending();
    long large = 5;
    short small = 5;
    assert_int_equal(sp_future_set_result(future, &large, sizeof large), SP_TYPE_ERROR);
    assert_int_equal(sp_future_set_result(future, &small, sizeof small), SP_TYPE_ERROR);
    assert_int_equal(sp_future_set_result(future, NULL, 0), SP_TYPE_ERROR);
    assert_false(sp_future_done(future));
    assert_int_equal(set(future, 3), SP_OK);
    assert_int_equal(sp_future_result(future, &large, sizeof large, SP_NOWAIT), SP_TYPE_ERROR);
    assert_int_equal(sp_future_result(future, &small, sizeof small, SP_NOWAIT), SP_TYPE_ERROR);
    assert_int_equal(large, 5);
    assert_int_equal(small, 5);
}

static void a_result_is_not_that_of_another_task_of_the_same_sizes(void **state)
{
    (void)state;
    sp_auto(sp_future) future = pending();
    int value = 8;
    assert_int_equal(set(future, 3), SP_OK);
    assert_int_equal(sp_future_result_of(future, &other_sp_task, &value, SP_NOWAIT), SP_TYPE_ERROR);
    assert_int_equal(value, 8);
    assert_int_equal(sp_future_result_of(future, &pass_sp_task, &value, SP_NOWAIT), SP_OK);
    assert_int_equal(value, 3);
}

static sp_status letter(const char *in, char *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(letter, char, char);

/* In memory that another one has had. */
static void a_small_result_that_is_set_to_nothing_is_zero(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        char value = 9;
        sp_future *future = sp_future_new(&letter_sp_task, "x");
        if (i % 2 == 0)
            assert_int_equal(sp_future_set_result(future, "y", 1), SP_OK);
        else
            assert_int_equal(sp_future_set_result(future, NULL, 0), SP_OK);
        assert_int_equal(sp_result(future, &value, SP_NOWAIT), SP_OK);
        assert_int_equal(value, i % 2 == 0 ? 'y' : 0);
        sp_future_release(future);
    }
}

static void a_result_that_was_moved_out_is_not_dropped(void **state)
{
    (void)state;
    for (int moved = 0; moved < 2; moved++) {
        int value = 0;
        dropped = 0;
        sp_future *future = sp_future_new(&own_sp_task, &(int){ 1 });
        assert_int_equal(set(future, 3), SP_OK);
        if (moved)
            sp__future_take_result(future, &value);
        sp_future_release(future);
        assert_int_equal(value, moved ? 3 : 0);
        assert_int_equal(dropped, moved ? 1 : 2); /* the argument is */
    }
}

/* ---- whose it is to end ---- */

static sp_status hold(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&goes_on, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold, sp_none, sp_none);

static void a_future_of_a_pool_is_ended_by_the_pool_alone(void **state)
{
    (void)state;
    const sp_error error = { .status = SP_USER_ERROR, .message = "mine" };
    pool = sp_thread_pool(.max_workers = 1);
    sp_event_clear(&goes_on);
    sp_auto(sp_future) holder = sp_submit(pool, hold, SP_NONE);
    test_await(sp_future_running(holder));
    sp_auto(sp_future) queued = sp_submit(pool, pass, 4);
    assert_false(sp_future_set_running(queued));
    assert_int_equal(set(queued, 5), SP_INVALID_STATE);
    assert_int_equal(sp_future_set_error(queued, &error), SP_INVALID_STATE);
    assert_int_equal(sp_future_set_error(holder, &error), SP_INVALID_STATE);
    assert_false(sp_future_running(queued) || sp_future_done(queued));
    sp_event_set(&goes_on);
    int value = 0;
    assert_int_equal(sp_result(queued, &value, 20.0), SP_OK);
    assert_int_equal(value, 4);
    end_pool();
}

static void a_future_that_is_just_being_set_runs(void **state)
{
    (void)state;
    sp_auto(sp_future) future = pending();
    assert_true(sp__word_move(&future->word, SP__PENDING, SP__SETTLING)); /* as the thread does that sets it */
    assert_true(sp_future_running(future));
    assert_false(sp_future_cancel(future));
    assert_int_equal(set(future, 1), SP_INVALID_STATE);
    assert_true(sp__word_move(&future->word, SP__SETTLING, SP__PENDING));
    assert_int_equal(set(future, 1), SP_OK);
}

static void only_a_failure_is_an_error(void **state)
{
    (void)state;
    sp_auto(sp_future) future = pending();
    assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_OK }), SP_VALUE_ERROR);
    assert_int_equal(sp_future_set_error(future, NULL), SP_VALUE_ERROR);
    assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_USER_ERROR }), SP_OK);
    assert_string_equal(sp_future_error(future)->task, "pass");
    assert_int_equal(sp_result(future, NULL, SP_NOWAIT), SP_USER_ERROR);
}

/* ---- errors that were seen ---- */

static void count_told(const sp_error *error, void *context)
{
    (void)error, (void)context;
    told++;
}

enum look { NOBODY, BEFORE, BY_RESULT, BY_ERROR, LOOKS };

static sp_future *fail_and_look(enum look look)
{
    sp_future *future = pending();
    if (look == BEFORE)
        sp__future_mark_seen(future);
    assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_USER_ERROR }), SP_OK);
    if (look == BY_RESULT)
        assert_int_equal(sp_result(future, NULL, SP_NOWAIT), SP_USER_ERROR);
    if (look == BY_ERROR)
        assert_non_null(sp_future_error(future));
    return future;
}

/* At exit, while they are held, and later, when they are released. */
static void an_error_is_told_once_unless_somebody_looks(void **state)
{
    (void)state;
    sp_set_unseen_error_hook(count_told, NULL);
    for (enum look look = NOBODY; look < LOOKS; look++)
        for (int held = 0; held < 2; held++) {
            told = 0;
            sp_future *future = fail_and_look(look);
            if (held) {
                sp__unseen_report_all();
                assert_int_equal(told, look == NOBODY);
            }
            sp_future_release(future);
            assert_int_equal(told, look == NOBODY);
        }
    sp_set_unseen_error_hook(NULL, NULL);
}

/* ---- callbacks ---- */

static sp_status end_thread(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&goes_on, SP_FOREVER);
    pthread_exit(NULL);
}
SP_TASK(end_thread, sp_none, sp_none);

static uint32_t seen_requests; /* atomic: 1 and one more for each callback that saw a request */

static void look_for_request(sp_future *future, void *context)
{
    (void)future, (void)context;
    sp__add_seq_cst(&seen_requests, 1 + (uint32_t)sp_cancel_requested());
}

static void a_callback_is_not_asked_to_stop_in_place_of_a_task_that_ended_its_thread(void **state)
{
    (void)state;
    sp__store_seq_cst(&seen_requests, 0);
    sp_event_clear(&goes_on);
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, end_thread, SP_NONE);
    test_await(sp_future_running(future));
    sp_future_add_done_callback(future, look_for_request, NULL);
    assert_false(sp_future_cancel(future));
    sp_event_set(&goes_on);
    assert_int_equal(sp_result(future, NULL, 20.0), SP_RUNTIME_ERROR);
    end_pool();
    assert_int_equal(sp__load_seq_cst(&seen_requests), 1);
}

/* ---- waits ---- */

static sp_future *outer;
static sp_event outer_is_known;

static sp_status wait_for_outer(const sp_none *in, sp_status *ret_status)
{
    (void)in;
    *ret_status = sp_result(outer, NULL, 0.2);
    return SP_OK;
}
SP_TASK(wait_for_outer, sp_none, sp_status);

static sp_status run_one_that_waits_for_me(const sp_none *in, sp_status *ret_status)
{
    (void)in;
    sp_event_wait(&outer_is_known, SP_FOREVER);
    sp_auto(sp_future) inner = sp_submit(pool, wait_for_outer, SP_NONE);
    return sp_result(inner, ret_status, SP_FOREVER);
}
SP_TASK(run_one_that_waits_for_me, sp_none, sp_status);

static void a_task_on_another_that_waits_for_that_is_refused_at_once(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 1);
    outer = sp_submit(pool, run_one_that_waits_for_me, SP_NONE);
    sp_event_set(&outer_is_known);
    sp_status status = SP_OK;
    assert_int_equal(sp_result(outer, &status, 20.0), SP_OK);
    assert_int_equal(status, SP_DEADLOCK);
    sp_future_release(outer);
    end_pool();
}

static sp_status sleep_shortly(const int *in, int *out)
{
    sp_sleep(0.02);
    return pass(in, out);
}
SP_TASK(sleep_shortly, int, int);

static void a_wait_for_an_inline_pool_runs_no_more_when_its_time_is_up(void **state)
{
    enum { N = 8 };
    (void)state;
    sp_future *futures[N];
    pool = sp_inline_pool(.seed = 5);
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, sleep_shortly, i);
    assert_int_equal(sp_wait(futures, N, SP_ALL_COMPLETED, 0.01), SP_TIMEOUT);
    int done = 0;
    for (int i = 0; i < N; i++)
        done += sp_future_done(futures[i]);
    assert_int_equal(done, 1); /* each takes longer than the time */
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_release_all(futures, N);
    sp_executor_release(pool);
}

static sp_status wait_for_a_set(const double *timeout, sp_none *out)
{
    (void)out;
    sp_future *futures[] = { sp_submit(pool, pass, 1), sp_submit(pool, pass, 2) };
    sp_status status = sp_wait(futures, 2, SP_ALL_COMPLETED, *timeout);
    sp_release_all(futures, 2);
    return status;
}
SP_TASK(wait_for_a_set, double, sp_none);

static void a_task_that_has_waited_for_a_set_has_its_permit_back(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 1);
    for (int i = 0; i < 6; i++) {
        sp_auto(sp_future) future = sp_submit(pool, wait_for_a_set, i % 2 ? 20.0 : SP_FOREVER);
        assert_int_equal(sp_result(future, NULL, 20.0), SP_OK);
    }
    assert_true(sp_executor_wait_idle(pool, 20.0));
    end_pool();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_the_argument_is_dropped),
        cmocka_unit_test(a_value_of_another_size_is_neither_read_nor_set),
        cmocka_unit_test(a_result_is_not_that_of_another_task_of_the_same_sizes),
        cmocka_unit_test(a_small_result_that_is_set_to_nothing_is_zero),
        cmocka_unit_test(a_result_that_was_moved_out_is_not_dropped),
        cmocka_unit_test(a_future_of_a_pool_is_ended_by_the_pool_alone),
        cmocka_unit_test(a_future_that_is_just_being_set_runs),
        cmocka_unit_test(only_a_failure_is_an_error),
        cmocka_unit_test(an_error_is_told_once_unless_somebody_looks),
        cmocka_unit_test(a_callback_is_not_asked_to_stop_in_place_of_a_task_that_ended_its_thread),
        cmocka_unit_test(a_task_on_another_that_waits_for_that_is_refused_at_once),
        cmocka_unit_test(a_wait_for_an_inline_pool_runs_no_more_when_its_time_is_up),
        cmocka_unit_test(a_task_that_has_waited_for_a_set_has_its_permit_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
