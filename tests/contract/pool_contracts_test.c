/* The statements of docs/contracts.md on order, cancel, shutdown and errors that no other test has.

   SPDX-License-Identifier: MIT */
#include "conformance/futures.h"

#include <string.h>

#include "stress/stress.h"

static sp_executor *pool; /* of the test that runs */

static void open_pool(unsigned workers)
{
    gate_close();
    pool = sp_thread_pool(.max_workers = workers);
}

static void end_pool(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    stress_assert_nothing_wrong();
}

/* ---- order ---- */

enum { TASKS = 50 };
static int begun[TASKS], n_begun; /* plain: one worker */

static sp_status note_begin(const int *in, sp_none *out)
{
    (void)out;
    begun[n_begun++] = *in;
    return SP_OK;
}
SP_TASK(note_begin, int, sp_none);

static sp_status submit_in_order(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    for (int i = 0; i < TASKS; i++)
        stress_expect(sp_post(pool, note_begin, i) == SP_OK);
    return SP_OK;
}
SP_TASK(submit_in_order, sp_none, sp_none);

static void what_a_task_submits_begins_in_order_on_one_worker(void **state)
{
    (void)state;
    n_begun = 0;
    open_pool(1);
    assert_int_equal(sp_post(pool, submit_in_order), SP_OK);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    end_pool();
    assert_int_equal(n_begun, TASKS);
    for (int i = 0; i < TASKS; i++)
        assert_int_equal(begun[i], i);
}

/* ---- cancel ---- */

static sp_status count_run(uint32_t *const *in, sp_none *out)
{
    (void)out;
    sp__add_seq_cst(*in, 1);
    return SP_OK;
}
typedef uint32_t *counter;
SP_TASK(count_run, counter, sp_none);

static void a_cancel_is_true_exactly_if_the_task_never_runs(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    int cancelled = 0;
    open_pool(2);
    for (long i = test_count(1000); i > 0; i--) {
        uint32_t ran = 0;
        sp_auto(sp_future) future = sp_submit(pool, count_run, &ran);
        stress_linger(test_random(&random) % 20000);
        bool told = sp_future_cancel(future);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), told ? SP_CANCELLED : SP_OK);
        assert_int_equal(sp_future_cancelled(future), told);
        assert_int_equal(sp__load_acquire(&ran), !told);
        cancelled += told;
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER)); /* and not later either */
        assert_int_equal(sp__load_acquire(&ran), !told);
    }
    printf("%d were cancelled\n", cancelled);
    end_pool();
}

static sp_status ask_if_cancelled(const sp_none *in, bool *out)
{
    (void)in;
    *out = sp_cancel_requested();
    return SP_OK;
}
SP_TASK(ask_if_cancelled, sp_none, bool);

static sp_status ask_around_a_wait(const sp_none *in, bool *out)
{
    int value;
    bool inner = true;
    (void)in;
    (void)!pass(&(int){ 1 }, &value); /* until it has been cancelled */
    sp_auto(sp_future) child = sp_submit(pool, ask_if_cancelled);
    sp_status status = sp_result(child, &inner, SP_FOREVER);
    *out = status == SP_OK && !inner && sp_cancel_requested();
    return SP_OK;
}
SP_TASK(ask_around_a_wait, sp_none, bool);

static void a_request_is_for_one_task_alone(void **state)
{
    (void)state;
    bool right = false, next = true;
    open_pool(1);
    sp_auto(sp_future) future = sp_submit(pool, ask_around_a_wait);
    sp_auto(sp_future) behind = sp_submit(pool, ask_if_cancelled);
    gate_await(1);
    assert_false(sp_future_cancel(future));
    gate_open();
    assert_int_equal(sp_result(future, &right, SP_FOREVER), SP_OK);
    assert_true(right);
    assert_int_equal(sp_result(behind, &next, SP_FOREVER), SP_OK);
    assert_false(next);
    end_pool();
}

/* ---- shutdown ---- */

static void a_second_shutdown_may_cancel_what_is_left(void **state)
{
    (void)state;
    open_pool(1);
    sp_auto(sp_future) first = sp_submit(pool, pass, 1);
    sp_auto(sp_future) second = sp_submit(pool, pass, 2);
    gate_await(1);
    assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK);
    assert_false(sp_future_done(second)); /* it would still run */
    assert_int_equal(sp_shutdown(pool, .no_wait = true, .cancel_futures = true), SP_OK);
    assert_true(sp_future_cancelled(second));
    gate_open();
    assert_int_equal(sp_result(first, NULL, SP_FOREVER), SP_OK);
    end_pool();
}

static sp_status submit_late(const sp_none *in, sp_status *out)
{
    int value;
    (void)in;
    (void)!pass(&(int){ 1 }, &value); /* until the pool is closed */
    sp_auto(sp_future) late = sp_submit(pool, mul, 6, 7);
    *out = sp_result(late, NULL, SP_FOREVER);
    return SP_OK;
}
SP_TASK(submit_late, sp_none, sp_status);

static void a_closed_pool_refuses_its_own_tasks_too(void **state)
{
    (void)state;
    sp_status status = SP_OK;
    open_pool(1);
    sp_auto(sp_future) future = sp_submit(pool, submit_late);
    gate_await(1);
    assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK);
    gate_open();
    assert_int_equal(sp_result(future, &status, SP_FOREVER), SP_OK);
    assert_int_equal(status, SP_SHUT_DOWN);
    end_pool();
}

/* ---- errors ---- */

static sp_status time_out(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_TIMEOUT;
}
SP_TASK(time_out, sp_none, sp_none);

static void done_tells_a_tasks_time_out_from_that_of_the_wait(void **state)
{
    (void)state;
    open_pool(2);
    sp_auto(sp_future) waits = sp_submit(pool, pass, 1);
    assert_int_equal(sp_result(waits, NULL, 0.001), SP_TIMEOUT);
    assert_false(sp_future_done(waits));
    assert_null(sp_future_error(waits));
    sp_auto(sp_future) timed_out = sp_submit(pool, time_out);
    assert_int_equal(sp_result(timed_out, NULL, SP_FOREVER), SP_TIMEOUT);
    assert_true(sp_future_done(timed_out));
    assert_int_equal(sp_future_error(timed_out)->status, SP_TIMEOUT);
    gate_open();
    assert_int_equal(sp_result(waits, NULL, SP_FOREVER), SP_OK);
    end_pool();
}

static void an_error_outlives_its_pool(void **state)
{
    (void)state;
    open_pool(1);
    sp_auto(sp_future) future = sp_submit(pool, divide, 1, 0);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_VALUE_ERROR);
    const sp_error *error = sp_future_error(future);
    end_pool();
    assert_ptr_equal(sp_future_error(future), error);
    assert_string_equal(error->message, "1 divided by zero");
    assert_string_equal(error->task, "divide");
    assert_non_null(strstr(error->file, "futures.h"));
    assert_true(error->line > 0);
    assert_int_equal(((const struct factors *)sp_future_arg(future))->x, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_task_submits_begins_in_order_on_one_worker),
        cmocka_unit_test(a_cancel_is_true_exactly_if_the_task_never_runs),
        cmocka_unit_test(a_request_is_for_one_task_alone),
        cmocka_unit_test(a_second_shutdown_may_cancel_what_is_left),
        cmocka_unit_test(a_closed_pool_refuses_its_own_tasks_too),
        cmocka_unit_test(done_tells_a_tasks_time_out_from_that_of_the_wait),
        cmocka_unit_test(an_error_outlives_its_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
