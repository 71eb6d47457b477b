/* Who may release the last reference of a future, and when.  For the address sanitizer.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"

static uint32_t dropped; /* atomic: arguments and results */

static void drop(void *value)
{
    (void)value;
    sp__add_seq_cst(&dropped, 1);
}

static sp_status keep(const int *in, int *out)
{
    *out = *in;
    return *in < 0 ? SP_VALUE_ERROR : SP_OK;
}
SP_TASK_OWNING(keep, int, int, drop, drop);

static sp_future *fresh(int arg)
{
    return sp_future_new(&keep_sp_task, &arg);
}

/* ---- a callback releases the last reference, and goes on with what it was lent ---- */

static uint32_t called; /* atomic */

static void release_and_go_on(sp_future *future, void *context)
{
    int arg = *(const int *)context, result = -1;
    sp_future_release(future);
    assert_string_equal(sp_future_task_name(future), "keep");
    assert_int_equal(*(const int *)sp_future_arg(future), arg);
    assert_true(sp_future_done(future));
    if (sp_result(future, &result, SP_FOREVER) == SP_OK)
        assert_int_equal(result, arg);
    (void)sp_future_error(future);
    assert_false(sp_future_set_running(future));
    sp__add_seq_cst(&called, 1);
}

static void only_look(sp_future *future, void *context)
{
    assert_int_equal(*(const int *)sp_future_arg(future), *(const int *)context);
    sp__add_seq_cst(&called, 1);
}

static const int five = 5;

static void by_cancel(void)
{
    sp_future *future = fresh(five);
    sp_future_add_done_callback(future, release_and_go_on, (int *)&five);
    sp_future_add_done_callback(future, only_look, (int *)&five);
    assert_true(sp_future_cancel(future));
}

static void by_set_result(void)
{
    sp_future *future = fresh(five);
    sp_future_add_done_callback(future, release_and_go_on, (int *)&five);
    sp_future_add_done_callback(future, only_look, (int *)&five);
    assert_int_equal(sp_future_set_result(future, &five, sizeof five), SP_OK);
}

static void by_set_error(void)
{
    for (sp_status status = SP_VALUE_ERROR; status != SP_OK; status = status == SP_CANCELLED ? SP_OK : SP_CANCELLED) {
        sp_future *future = fresh(five);
        assert_true(sp_future_set_running(future));
        sp_future_add_done_callback(future, release_and_go_on, (int *)&five);
        assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = status }), SP_OK);
    }
}

static void by_a_late_callback(void)
{
    sp_future *future = fresh(five);
    assert_int_equal(sp_future_set_result(future, &five, sizeof five), SP_OK);
    sp_future_add_done_callback(future, only_look, (int *)&five);
    sp_future_add_done_callback(future, release_and_go_on, (int *)&five);
}

static sp_status wait_for(sp_event *const *event, sp_none *out)
{
    (void)out;
    return sp_event_wait(*event, SP_FOREVER) ? SP_OK : SP_RUNTIME_ERROR;
}
typedef sp_event *event_pointer;
SP_TASK(wait_for, event_pointer, sp_none);

/* A pool of one worker, which is busy: what is submitted is queued. */
static sp_executor *busy_pool(sp_event *event)
{
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    assert_int_equal(sp_post(pool, wait_for, event), SP_OK);
    return pool;
}

static void by_cancel_of_what_is_queued(void)
{
    sp_event event = { 0 };
    sp_executor *pool = busy_pool(&event);
    sp_future *future = sp_submit(pool, keep, five);
    sp_future_add_done_callback(future, release_and_go_on, (int *)&five);
    assert_true(sp_future_cancel(future));
    sp_event_set(&event);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static void by_a_shutdown_that_cancels(void)
{
    sp_event event = { 0 };
    sp_executor *pool = busy_pool(&event);
    for (int i = 0; i < 3; i++)
        sp_future_add_done_callback(sp_submit(pool, keep, five), release_and_go_on, (int *)&five);
    assert_int_equal(sp_shutdown(pool, .no_wait = true, .cancel_futures = true), SP_OK);
    sp_event_set(&event);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static void by_its_task(void)
{
    static const int bad = -5;
    sp_executor *pools[] = { sp_thread_pool(.max_workers = 2), sp_inline_pool(), sp_inline_pool(.seed = 1) };
    for (size_t i = 0; i < 3; i++) {
        sp_future_add_done_callback(sp_submit(pools[i], keep, five), release_and_go_on, (int *)&five);
        sp_future_add_done_callback(sp_submit(pools[i], keep, bad), release_and_go_on, (int *)&bad);
        assert_int_equal(sp_shutdown(pools[i]), SP_OK);
        sp_executor_release(pools[i]);
    }
}

static void by_a_refused_submit(void)
{
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_future_add_done_callback(sp_submit(pool, keep, five), release_and_go_on, (int *)&five);
    sp_executor_release(pool);
}

static void a_callback_may_release_the_last_reference_and_go_on(void **state)
{
    static const struct {
        void (*end)(void);
        uint32_t calls, drops;
    } ways[] = { { by_cancel, 2, 2 },           { by_set_result, 2, 2 },
                 { by_set_error, 2, 4 },        { by_a_late_callback, 2, 2 },
                 { by_its_task, 6, 12 },        { by_cancel_of_what_is_queued, 1, 2 },
                 { by_a_refused_submit, 1, 2 }, { by_a_shutdown_that_cancels, 3, 6 } };
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        sp__store_seq_cst(&called, 0);
        sp__store_seq_cst(&dropped, 0);
        ways[i].end();
        assert_int_equal(sp__load_seq_cst(&called), ways[i].calls);
        assert_int_equal(sp__load_seq_cst(&dropped), ways[i].drops);
    }
}

/* ---- whoever sees the end releases the last reference, while the call that ended it is on its way back ---- */

enum { BY_RESULT, BY_WAIT, BY_NEXT, BY_POLLING, WAYS_TO_SEE };

static struct {
    sp_future *future; /* atomic: handed over with its only reference */
    uint32_t way;      /* atomic */
    bool ends;         /* atomic */
} handed;

static void see(sp_future *future, uint32_t way)
{
    sp_completion *set;
    switch (way) {
    case BY_RESULT:
        assert_int_not_equal(sp_result(future, NULL, SP_FOREVER), SP_TIMEOUT);
        break;
    case BY_WAIT:
        assert_int_equal(sp_wait(&future, 1, SP_FIRST_COMPLETED, SP_FOREVER), SP_OK);
        break;
    case BY_NEXT:
        set = sp_as_completed(&future, 1, SP_FOREVER);
        assert_ptr_equal(sp_next(set), future);
        sp_completion_release(set);
        break;
    default:
        while (!sp_future_done(future))
            sched_yield();
    }
}

static void *see_and_release(void *arg)
{
    (void)arg;
    while (!sp__load_acquire(&handed.ends)) {
        sp_future *future = sp__exchange_acq_rel(&handed.future, NULL);
        if (future == NULL) {
            sched_yield();
            continue;
        }
        see(future, sp__load_relaxed(&handed.way));
        (void)sp_future_error(future);
        sp_future_release(future);
    }
    return NULL;
}

static void whoever_sees_the_end_may_release_it_at_once(void **state)
{
    (void)state;
    sp__store_seq_cst(&handed.ends, false);
    pthread_t other = test_thread(see_and_release, NULL);
    long rounds = test_count(1500);
    for (long round = 0; round < rounds; round++) {
        sp_future *future = fresh(five);
        sp__store_relaxed(&handed.way, (uint32_t)(round % WAYS_TO_SEE));
        sp__store_release(&handed.future, future); /* from here on we have no reference, but the right to end it once */
        if (round % 64 < 32)
            for (int i = 0; i < round % 32 * 32; i++)
                sp__cpu_relax();
        if (round % 3 == 0)
            assert_true(sp_future_cancel(future));
        else if (round % 3 == 1)
            assert_int_equal(sp_future_set_result(future, &five, sizeof five), SP_OK);
        else
            assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_VALUE_ERROR }), SP_OK);
        test_await(sp__load_acquire(&handed.future) == NULL);
    }
    sp__store_release(&handed.ends, true);
    test_join(other);
}

/* ---- the place of a result ---- */

struct large {
    char bytes[3][100000];
};
static uint32_t not_zero; /* atomic */

static void look_for_zero(void *result)
{
    const struct large *large = result;
    for (size_t i = 0; i < sizeof large->bytes[0]; i++)
        if (large->bytes[0][i] != 0)
            sp__add_seq_cst(&not_zero, 1);
    sp__add_seq_cst(&dropped, 1);
}

/* Writes nothing where it looks, but elsewhere. */
static sp_status write_elsewhere(const int *in, struct large *out)
{
    memset(out->bytes[1], 1, sizeof out->bytes[1]);
    return *in == 0 ? SP_OK : SP_VALUE_ERROR;
}
SP_TASK_OWNING(write_elsewhere, int, struct large, NULL, look_for_zero);

/* In memory that was used before: what no task wrote is zero, and drop_result sees it so. */
static void a_result_that_no_task_wrote_is_zero(void **state)
{
    (void)state;
    static struct large result, garbage;
    sp__store_seq_cst(&dropped, 0);
    memset(&garbage, 9, sizeof garbage);
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    for (int round = 0; round < 3; round++) {
        int arg = round == 1;
        sp_future *set = sp_future_new(&write_elsewhere_sp_task, &arg), *cancelled, *failed, *ran;
        assert_int_equal(sp_future_set_result(set, &garbage, sizeof garbage), SP_OK);
        assert_int_equal(sp_result(set, &result, SP_FOREVER), SP_OK);
        assert_memory_equal(&result, &garbage, sizeof result);
        sp__sub_relaxed(&not_zero, sizeof garbage.bytes[0]);
        sp_future_release(set); /* its memory is what the next ones get */
        ran = sp_submit(pool, write_elsewhere, arg);
        assert_int_equal(sp_result(ran, &result, SP_FOREVER), arg == 0 ? SP_OK : SP_VALUE_ERROR);
        sp_future_release(ran);
        cancelled = sp_future_new(&write_elsewhere_sp_task, &arg);
        assert_true(sp_future_cancel(cancelled));
        sp_future_release(cancelled);
        failed = sp_future_new(&write_elsewhere_sp_task, &arg);
        assert_true(sp_future_set_running(failed));
        assert_int_equal(sp_future_set_error(failed, &(sp_error){ .status = SP_OS_ERROR }), SP_OK);
        (void)sp_future_error(failed);
        sp_future_release(failed);
    }
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    assert_int_equal(sp__load_seq_cst(&not_zero), 0);
    assert_int_equal(sp__load_seq_cst(&dropped), 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callback_may_release_the_last_reference_and_go_on),
        cmocka_unit_test(whoever_sees_the_end_may_release_it_at_once),
        cmocka_unit_test(a_result_that_no_task_wrote_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
