/* Numbers of a pool that are easily a little wrong: how many run, how many are counted, how long one is idle.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <math.h>

#include <spool.h>

#include "executor/pool.h"

static sp_executor *pool; /* of the test that runs */

static struct sp__pool *inside(void)
{
    return sp__pool_of(pool);
}

static uint64_t awake(void)
{
    return sp__crew_awake(sp__crew_look(&inside()->crew));
}

static uint64_t asleep(void)
{
    return sp__crew_asleep(sp__crew_look(&inside()->crew));
}

static sp_executor_statistics stats(void)
{
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    return stats;
}

static unsigned lent(void)
{
    SP_HOLD(&inside()->lock);
    return inside()->lent;
}

static void assert_ends(sp_future *future)
{
    assert_int_equal(sp_result(future, NULL, 20.0), SP_OK);
    sp_future_release(future);
}

static void end_pool(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* ---- how many run ---- */

static uint32_t running, most_running; /* atomic */

static void count_in(void)
{
    uint32_t now = sp__add_seq_cst(&running, 1) + 1, most = sp__load_seq_cst(&most_running);
    while (now > most && !sp__cas_seq_cst(&most_running, &most, now))
        continue;
}

static void count_out(void)
{
    sp__sub_seq_cst(&running, 1);
}

static sp_status be_counted(const int *in, sp_none *out)
{
    (void)in, (void)out;
    count_in();
    sched_yield();
    count_out();
    return SP_OK;
}
SP_TASK(be_counted, int, sp_none);

static sp_event child_ends, parent_ends, parent_is_back;

static sp_status wait_for_child_end(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    (void)sp_event_wait(&child_ends, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_child_end, sp_none, sp_none);

/* Its permit is lent when its time is up, so that for a moment one more runs than may. */
static sp_status wait_for_child_in_vain(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_auto(sp_future) child = sp_submit(pool, wait_for_child_end, SP_NONE);
    sp_status status = sp_result(child, NULL, 0.001);
    while (status == SP_TIMEOUT && !sp_future_running(child))
        status = sp_result(child, NULL, 0.001);
    sp_event_set(&parent_is_back);
    (void)sp_event_wait(&parent_ends, SP_FOREVER);
    return status == SP_TIMEOUT ? SP_OK : SP_RUNTIME_ERROR;
}
SP_TASK(wait_for_child_in_vain, sp_none, sp_none);

static void clear_events(void)
{
    sp_event_clear(&child_ends);
    sp_event_clear(&parent_ends);
    sp_event_clear(&parent_is_back);
}

/* Whoever ends its task when too many run begins no other. */
static void after_a_loan_no_more_tasks_begin_than_may_run(void **state)
{
    (void)state;
    clear_events();
    pool = sp_thread_pool(.max_workers = 1);
    sp_future *parent = sp_submit(pool, wait_for_child_in_vain, SP_NONE);
    assert_true(sp_event_wait(&parent_is_back, SP_FOREVER));
    assert_int_equal(awake(), 2);
    sp_future *next = sp_submit(pool, be_counted, 1);
    sp_event_set(&child_ends);
    test_await(asleep() == 1 || sp_future_done(next)); /* the one that ran the child */
    assert_int_equal(awake(), 1);
    assert_false(sp_future_done(next));
    sp_event_set(&parent_ends);
    assert_ends(parent);
    assert_ends(next);
    end_pool();
}

/* After loans of every kind, ended by time or by what was waited for, the permits are as many as before. */
static void loans_leave_as_many_permits_as_there_were(void **state)
{
    (void)state;
    enum { TASKS = 300 };
    for (unsigned max_workers = 1; max_workers <= 3; max_workers++) {
        pool = sp_thread_pool(.max_workers = max_workers);
        for (unsigned i = 0; i < 2 * max_workers; i++) {
            clear_events();
            sp_future *parent = sp_submit(pool, wait_for_child_in_vain, SP_NONE);
            assert_true(sp_event_wait(&parent_is_back, SP_FOREVER));
            sp_event_set(i % 2 ? &child_ends : &parent_ends);
            sp_event_set(i % 2 ? &parent_ends : &child_ends);
            assert_ends(parent);
        }
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        test_await(awake() == 0);
        sp__store_seq_cst(&most_running, 0);
        sp_future *futures[TASKS];
        for (int i = 0; i < TASKS; i++)
            futures[i] = sp_submit(pool, be_counted, i);
        for (int i = 0; i < TASKS; i++)
            assert_ends(futures[i]);
        assert_in_range(sp__load_seq_cst(&most_running), 1, max_workers);
        end_pool();
    }
}

/* ---- how many are counted ---- */

/* Also what was submitted and cancelled, and by workers that have ended. */
static void after_loans_the_statistics_are_those_of_the_tasks(void **state)
{
    (void)state;
    enum { ROUNDS = 5 };
    pool = sp_thread_pool(.max_workers = 2);
    for (unsigned i = 0; i < ROUNDS; i++) {
        clear_events();
        sp_future *parent = sp_submit(pool, wait_for_child_in_vain, SP_NONE);
        assert_true(sp_event_wait(&parent_is_back, SP_FOREVER));
        assert_int_equal(stats().submitted, 2 * i + 2);
        assert_int_equal(stats().completed, 2 * i);
        sp_event_set(&child_ends);
        sp_event_set(&parent_ends);
        assert_ends(parent);
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        assert_int_equal(stats().completed, 2 * i + 2);
    }
    test_await(asleep() == stats().workers);
    assert_in_range(stats().workers, 1, 3);
    assert_int_equal(lent(), 0);
    assert_int_equal(awake(), 0);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(stats().submitted, 2 * ROUNDS);
    assert_int_equal(stats().completed, 2 * ROUNDS);
    assert_int_equal(stats().workers, 0);
    sp_executor_release(pool);
}

/* ---- a bounded pool whose task submits much ---- */

static uint32_t children; /* atomic: have run */

static sp_status be_a_child(const int *in, sp_none *out)
{
    (void)in, (void)out;
    sp__add_seq_cst(&children, 1);
    return SP_OK;
}
SP_TASK(be_a_child, int, sp_none);

static sp_status post_many(const int *n, sp_none *out)
{
    sp_status status = SP_OK;
    (void)out;
    for (int i = 0; i < *n && status == SP_OK; i++)
        status = sp_post(pool, be_a_child, i);
    return status;
}
SP_TASK(post_many, int, sp_none);

/* A task never waits for room: nobody else may be there to make some. */
static void a_task_posts_more_to_its_bounded_pool_than_its_own_queue_holds(void **state)
{
    (void)state;
    enum { MANY = 2 * SP__DEQUE_SLOTS + 100 };
    for (unsigned max_workers = 1; max_workers <= 2; max_workers++) {
        sp__store_seq_cst(&children, 0);
        pool = sp_thread_pool(.max_workers = max_workers, .max_pending = 1);
        assert_ends(sp_submit(pool, post_many, MANY));
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        assert_int_equal(sp__load_seq_cst(&children), MANY);
        assert_int_equal(stats().submitted, MANY + 1);
        assert_int_equal(stats().completed, MANY + 1);
        end_pool();
    }
}

/* ---- how long a worker is idle ---- */

static uint32_t begun; /* atomic: workers */

static sp_status note_begin(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&begun, 1);
    return SP_OK;
}

/* No time, or none that ever passes: the worker stays. */
static void an_idle_time_that_is_none_never_passes(void **state)
{
    (void)state;
    static const double times[] = { 0, -0.0, -1, NAN, INFINITY, -INFINITY, 9.2e9, 1e19, 1e300 };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        sp__store_seq_cst(&begun, 0);
        pool = sp_thread_pool(.max_workers = 1, .idle_seconds = times[i], .initializer = note_begin);
        for (int round = 0; round < 10; round++) {
            assert_ends(sp_submit(pool, be_counted, round));
            test_await(asleep() == 1 || stats().workers == 0);
            assert_int_equal(stats().workers, 1);
        }
        assert_int_equal(sp__load_seq_cst(&begun), 1);
        end_pool();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_loan_no_more_tasks_begin_than_may_run),
        cmocka_unit_test(loans_leave_as_many_permits_as_there_were),
        cmocka_unit_test(after_loans_the_statistics_are_those_of_the_tasks),
        cmocka_unit_test(a_task_posts_more_to_its_bounded_pool_than_its_own_queue_holds),
        cmocka_unit_test(an_idle_time_that_is_none_never_passes),
    };
    return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
