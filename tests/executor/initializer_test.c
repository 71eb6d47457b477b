/* Initializers that wait for tasks of their own pool: which waits are refused, which are not, and that none leaves a trace.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "executor/pool.h"
#include "os/fault.h"

static sp_executor *pool; /* of the test that runs */
static uint32_t begun;    /* atomic: initializers */
static sp_event known;    /* `awaited` is */
static sp_future *awaited;
static sp_status answers[2]; /* of the first two initializers; written before they set `answered` */
static sp_event answered[2];

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

static void begin_pool(unsigned max_workers, sp_status (*initializer)(void *))
{
    sp__store_seq_cst(&begun, 0);
    sp_event_clear(&known);
    sp_event_clear(&answered[0]);
    sp_event_clear(&answered[1]);
    pool = sp_thread_pool(.max_workers = max_workers, .initializer = initializer);
}

static unsigned count_stuck(void)
{
    struct sp__pool *inside = sp__pool_of(pool);
    SP_HOLD(&inside->lock);
    return inside->stuck;
}

static void end_pool(void)
{
    struct sp__pool *inside = sp__pool_of(pool);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(inside->stuck, 0);
    assert_int_equal(inside->stuck_for_good, 0);
    assert_int_equal(inside->lent, 0);
    assert_int_equal(sp__load_relaxed(&inside->crew), 0);
    sp_executor_release(pool);
}

static sp_status answer(unsigned number, sp_status status)
{
    answers[number] = status;
    sp_event_set(&answered[number]);
    return SP_OK;
}

/* ---- the one task that is queued ---- */

static double limit;

static sp_status first_waits_for_awaited(void *arg)
{
    (void)arg;
    if (sp__add_seq_cst(&begun, 1) > 0)
        return SP_OK;
    sp_event_wait(&known, SP_FOREVER);
    return answer(0, sp_result(awaited, NULL, limit));
}

static void another_worker_is_started_for_what_an_initializer_waits_for(void **state)
{
    (void)state;
    static const double limits[] = { 20.0, SP_FOREVER };
    for (int i = 0; i < 2; i++) {
        limit = limits[i];
        begin_pool(2, first_waits_for_awaited);
        awaited = sp_submit(pool, pass, 1);
        sp_event_set(&known);
        assert_true(sp_event_wait(&answered[0], SP_FOREVER));
        assert_int_equal(answers[0], SP_OK);
        sp_future_release(awaited);
        end_pool();
    }
}

static void an_initializer_is_told_that_no_other_worker_can_be_started(void **state)
{
    (void)state;
    limit = 20.0;
    begin_pool(2, first_waits_for_awaited);
    awaited = sp_submit(pool, pass, 1);
    sp__fault_arm(1, true);
    sp_event_set(&known);
    assert_true(sp_event_wait(&answered[0], SP_FOREVER));
    assert_true(sp__fault_disarm() > 0);
    assert_int_equal(answers[0], SP_OS_ERROR);
    sp_future_release(awaited);
    end_pool();
}

/* ---- refused, and then? ---- */

static sp_status wait_for_own(double timeout)
{
    sp_auto(sp_future) future = sp_submit(pool, pass, 2);
    return sp_result(future, NULL, timeout);
}

static sp_status first_waits_alone(void *arg)
{
    (void)arg;
    if (sp__add_seq_cst(&begun, 1) > 0)
        return SP_OK;
    return answer(0, wait_for_own(SP_FOREVER));
}

static sp_status wait_timed(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return wait_for_own(20.0);
}
SP_TASK(wait_timed, sp_none, sp_none);

static void after_a_refused_wait_the_worker_is_one_like_others(void **state)
{
    (void)state;
    begin_pool(1, first_waits_alone);
    for (int i = 0; i < 2; i++) { /* in the worker that was refused, too, a wait lends */
        sp_auto(sp_future) future = sp_submit(pool, wait_timed, SP_NONE);
        assert_true(sp_event_wait(&answered[0], SP_FOREVER));
        assert_int_equal(answers[0], SP_DEADLOCK);
        assert_int_equal(count_stuck(), 0);
        assert_int_equal(sp_result(future, NULL, 20.0), SP_OK);
    }
    assert_int_equal(count_stuck(), 0);
    end_pool();
}

/* What is done does not keep a wait from being hopeless. */
static sp_status read_set_with_one_done(void *arg)
{
    sp_future *done = *(sp_future **)arg, *own = sp_submit(pool, pass, 3);
    sp_auto(sp_completion) set = sp_as_completed((sp_future *[]){ own, done }, 2, SP_FOREVER);
    assert_ptr_equal(sp_next(set), done);
    assert_null(sp_next(set));
    sp_future_release(own);
    return answer(0, sp_completion_status(set));
}

static void a_set_of_which_only_queued_ones_are_left_is_refused(void **state)
{
    (void)state;
    sp_auto(sp_future) done = sp_future_new(&pass_sp_task, &(int){ 1 });
    assert_int_equal(sp_future_set_result(done, &(int){ 1 }, sizeof(int)), SP_OK);
    sp__store_seq_cst(&begun, 0);
    sp_event_clear(&answered[0]);
    pool = sp_thread_pool(.max_workers = 1, .initializer = read_set_with_one_done, .initializer_arg = &done);
    sp_auto(sp_future) future = sp_submit(pool, pass, 1);
    assert_int_equal(sp_result(future, NULL, 20.0), SP_OK);
    assert_true(sp_event_wait(&answered[0], SP_FOREVER));
    assert_int_equal(answers[0], SP_DEADLOCK);
    end_pool();
}

/* One waits for a while, the other for ever: the first will be back. */
static sp_status first_waits_for_a_while(void *arg)
{
    (void)arg;
    uint32_t number = sp__add_seq_cst(&begun, 1);
    if (number == 0)
        return answer(0, wait_for_own(0.2));
    test_await(count_stuck() == 1);
    return answer(1, wait_for_own(SP_FOREVER));
}

static void a_wait_is_not_refused_while_another_has_a_limit(void **state)
{
    (void)state;
    begin_pool(2, first_waits_for_a_while);
    sp_auto(sp_future) future = sp_submit(pool, pass, 1);
    assert_int_equal(sp_result(future, NULL, 20.0), SP_OK);
    assert_true(sp_event_wait(&answered[1], 20.0));
    assert_int_equal(answers[0], SP_TIMEOUT);
    assert_int_equal(answers[1], SP_OK);
    end_pool();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_worker_is_started_for_what_an_initializer_waits_for),
        cmocka_unit_test(an_initializer_is_told_that_no_other_worker_can_be_started),
        cmocka_unit_test(after_a_refused_wait_the_worker_is_one_like_others),
        cmocka_unit_test(a_set_of_which_only_queued_ones_are_left_is_refused),
        cmocka_unit_test(a_wait_is_not_refused_while_another_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
