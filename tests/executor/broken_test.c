/* A pool whose initializer has failed, closed or not: what each call says, from outside and from the pool's own tasks.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

static const char why[] = "the pool is broken, its initializer failed: no licence";
static sp_event gate;         /* what tasks, and an initializer, wait for */
static sp_event may_fail;     /* what the second initializer waits for */
static uint32_t initializers; /* atomic; how many were begun */

static sp_status fail_at_gate(void *arg)
{
    (void)arg;
    sp_event_wait(&gate, SP_FOREVER);
    return sp_raise(SP_OS_ERROR, "no licence");
}

static sp_status second_one_fails(void *arg)
{
    (void)arg;
    if (sp__add_seq_cst(&initializers, 1) == 0)
        return SP_OK;
    sp_event_wait(&may_fail, SP_FOREVER);
    return sp_raise(SP_OS_ERROR, "no licence");
}

static int add_one(int number)
{
    return number + 1;
}
SP_FUNCTION(add_one, int, int);

/* ---- errors that are said besides the statuses ---- */

static uint32_t unseen; /* atomic */

static void count_unseen(const sp_error *error, void *context)
{
    (void)error, (void)context;
    sp__add_seq_cst(&unseen, 1);
}

static int set_up(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    sp_event_clear(&may_fail);
    sp__store_seq_cst(&initializers, 0);
    sp__store_seq_cst(&unseen, 0);
    sp_set_unseen_error_hook(count_unseen, NULL);
    return 0;
}

static int nothing_unseen_is_said(void **state)
{
    (void)state;
    sp_set_unseen_error_hook(NULL, NULL);
    return sp__load_seq_cst(&unseen) == 0 ? 0 : -1;
}

/* ---- what the calls say ---- */

static bool next_number(void *context, void *ret_arg)
{
    (void)context;
    *(int *)ret_arg = 1;
    return true;
}

static void assert_is_broken(sp_future *future)
{
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_BROKEN_POOL);
    assert_string_equal(sp_future_error(future)->message, why);
    assert_string_equal(sp_future_error(future)->task, "add_one");
    assert_false(sp_future_cancelled(future));
    sp_future_release(future);
}

/* Each call that gives the pool something to do. */
static void assert_all_is_refused(sp_executor *pool)
{
    int inputs[3] = { 1, 2, 3 }, outputs[3] = { -1, -1, -1 }, value = -1;
    sp_future *failed = NULL;
    assert_is_broken(sp_submit(pool, add_one, 1));
    assert_int_equal(sp_post(pool, add_one, 1), SP_BROKEN_POOL);
    assert_int_equal(sp_map(pool, add_one, inputs, outputs, 3, .ret_failed = &failed), SP_BROKEN_POOL);
    assert_int_equal(*(const int *)sp_future_arg(failed), 1);
    assert_is_broken(failed);
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, add_one, next_number, NULL);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_BROKEN_POOL);
    assert_string_equal(sp_mapping_error(mapping)->message, why);
    assert_true(outputs[0] == -1 && outputs[1] == -1 && outputs[2] == -1 && value == -1);
}

static void a_pool_that_breaks_and_is_closed_says_that_it_is_broken(void **state)
{
    (void)state;
    for (int cancels = 0; cancels < 2; cancels++) {
        sp_event_set(&gate);
        sp_executor *pool = sp_thread_pool(.max_workers = 2, .initializer = fail_at_gate);
        assert_is_broken(sp_submit(pool, add_one, 1));
        assert_all_is_refused(pool);
        assert_int_equal(sp_shutdown(pool, .cancel_futures = cancels != 0), SP_OK);
        assert_all_is_refused(pool);
        assert_true(sp_executor_wait_idle(pool, (double)test_patience()));
        sp_executor_release(pool);
    }
}

static void a_closed_pool_that_breaks_says_that_it_is_broken(void **state)
{
    (void)state;
    sp_executor *pool = sp_thread_pool(.max_workers = 2, .initializer = fail_at_gate);
    sp_future *queued = sp_submit(pool, add_one, 1);
    assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK);
    assert_int_equal(sp_post(pool, add_one, 1), SP_SHUT_DOWN); /* it is not broken yet */
    sp_event_set(&gate);
    assert_is_broken(queued);
    assert_all_is_refused(pool);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_all_is_refused(pool);
    sp_executor_release(pool);
}

/* What the close has cancelled stays so. */
static void what_was_cancelled_before_the_pool_breaks_is_cancelled(void **state)
{
    (void)state;
    sp_executor *pool = sp_thread_pool(.max_workers = 1, .initializer = fail_at_gate);
    sp_auto(sp_future) queued = sp_submit(pool, add_one, 1);
    assert_int_equal(sp_shutdown(pool, .no_wait = true, .cancel_futures = true), SP_OK);
    assert_int_equal(sp_result(queued, NULL, SP_NOWAIT), SP_CANCELLED);
    sp_event_set(&gate);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(sp_result(queued, NULL, SP_NOWAIT), SP_CANCELLED);
    sp_executor_release(pool);
}

/* ---- the pool's own tasks ---- */

struct plan {
    sp_executor *pool;
    bool closes;
};

/* It begins before the pool breaks, and goes on behind that. */
static sp_status call_own_pool(const struct plan *plan, int *out)
{
    sp_event_wait(&gate, SP_FOREVER);
    if (plan->closes)
        assert_int_equal(sp_shutdown(plan->pool, .no_wait = true), SP_OK);
    assert_all_is_refused(plan->pool);
    *out = 5;
    return SP_OK;
}
SP_TASK(call_own_pool, struct plan, int);

static void a_task_is_refused_by_its_own_broken_pool(void **state)
{
    (void)state;
    for (int closes = 0; closes < 2; closes++) {
        int value = 0;
        assert_int_equal(set_up(NULL), 0);
        sp_executor *pool = sp_thread_pool(.max_workers = 2, .initializer = second_one_fails);
        sp_auto(sp_future) running = sp_submit(pool, call_own_pool, pool, closes != 0);
        test_await(sp_future_running(running));
        sp_event_set(&may_fail);
        assert_is_broken(sp_submit(pool, add_one, 1)); /* wants the second worker */
        sp_event_set(&gate);
        assert_int_equal(sp_result(running, &value, SP_FOREVER), SP_OK); /* what runs goes on */
        assert_int_equal(value, 5);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
    }
}

/* Its futures lie in its worker's own queue when the pool breaks. */
static sp_future *children[3];

static sp_status submit_and_let_break(const struct plan *plan, int *out)
{
    for (int i = 0; i < 3; i++)
        children[i] = sp_submit(plan->pool, add_one, i);
    sp_event_set(&may_fail); /* the second worker, which was started for the first of them */
    for (int i = 0; i < 3; i++)
        test_await(sp_future_done(children[i]));
    *out = 0;
    return SP_OK;
}
SP_TASK(submit_and_let_break, struct plan, int);

static void what_a_task_has_queued_fails_when_the_pool_breaks(void **state)
{
    (void)state;
    sp_executor *pool = sp_thread_pool(.max_workers = 2, .initializer = second_one_fails);
    sp_auto(sp_future) running = sp_submit(pool, submit_and_let_break, .pool = pool);
    assert_int_equal(sp_result(running, NULL, SP_FOREVER), SP_OK);
    for (int i = 0; i < 3; i++)
        assert_is_broken(children[i]);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_statistics counts;
    sp_executor_stats(pool, &counts);
    assert_int_equal(counts.submitted, 4);
    assert_int_equal(counts.completed, 4);
    assert_int_equal(counts.workers, 0);
    sp_executor_release(pool);
}

/* ---- no worker at all ---- */

/* One call after the other is refused, once: also that for the thread, and then there is memory for the words. */
static void without_a_worker_the_message_says_why(void **state)
{
    (void)state;
    int said = 0;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    for (uint64_t call = 1; call < 50; call++) {
        int number = 0;
        sp__fault_arm(call, false);
        sp_future *future = sp_submit(pool, add_one, 1);
        sp_status status = sp_result(future, NULL, SP_FOREVER);
        sp__fault_disarm();
        if (status == SP_OS_ERROR &&
            sscanf(sp_future_error(future)->message, "no worker thread could be started (errno %d)", &number) == 1)
            said += number == ENOMEM || number == EAGAIN;
        sp_future_release(future);
        if (status == SP_OK)
            break;
    }
    assert_true(said >= 2); /* no memory, no thread */
    assert_int_equal(sp_post(pool, add_one, 1), SP_OK);
}

static void without_a_worker_a_post_is_refused(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_executor_statistics counts;
    sp_status status = SP_MEMORY_ERROR;
    for (uint64_t call = 1; call < 50 && status == SP_MEMORY_ERROR; call++) { /* until the future itself has memory */
        sp__fault_arm(call, true);
        status = sp_post(pool, add_one, 1);
        sp__fault_disarm();
    }
    assert_int_equal(status, SP_OS_ERROR);
    assert_true(sp_executor_wait_idle(pool, (double)test_patience()));
    sp_executor_stats(pool, &counts);
    assert_int_equal(counts.submitted, counts.completed);
    assert_int_equal(counts.workers, 0);
}

int main(void)
{
#define BROKEN_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, nothing_unseen_is_said)
    const struct CMUnitTest tests[] = {
        BROKEN_TEST(a_pool_that_breaks_and_is_closed_says_that_it_is_broken),
        BROKEN_TEST(a_closed_pool_that_breaks_says_that_it_is_broken),
        BROKEN_TEST(what_was_cancelled_before_the_pool_breaks_is_cancelled),
        BROKEN_TEST(a_task_is_refused_by_its_own_broken_pool),
        BROKEN_TEST(what_a_task_has_queued_fails_when_the_pool_breaks),
        BROKEN_TEST(without_a_worker_the_message_says_why),
        BROKEN_TEST(without_a_worker_a_post_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
