/* Tasks that wait for tasks of their own pool.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

static sp_executor *pool; /* of the test that runs */

/* ---- untimed waits run what they wait for ---- */

static sp_status depth(const int *in, int *out);
SP_TASK(depth, int, int);
static sp_status depth(const int *in, int *out)
{
    if (*in == 0) {
        *out = 0;
        return SP_OK;
    }
    sp_auto(sp_future) inner = sp_submit(pool, depth, *in - 1);
    int below = 0;
    sp_status status = sp_result(inner, &below, SP_FOREVER);
    *out = below + 1;
    return status;
}

static void one_worker_passes_nested_submits(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) top = sp_submit(pool, depth, 100);
    int reached = 0;
    assert_int_equal(sp_result(top, &reached, SP_FOREVER), SP_OK);
    assert_int_equal(reached, 100);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static void too_little_stack_lends_a_worker_instead(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 1, .stack_size = 64 * 1024);
    sp_auto(sp_future) top = sp_submit(pool, depth, 30);
    int reached = 0;
    assert_int_equal(sp_result(top, &reached, SP_FOREVER), SP_OK);
    assert_int_equal(reached, 30);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* ---- timed waits let another worker run ---- */

static sp_status timed_depth(const int *in, int *out);
SP_TASK(timed_depth, int, int);
static sp_status timed_depth(const int *in, int *out)
{
    if (*in == 0) {
        *out = 0;
        return SP_OK;
    }
    sp_auto(sp_future) inner = sp_submit(pool, timed_depth, *in - 1);
    int below = 0;
    sp_status status = sp_result(inner, &below, 60.0);
    *out = below + 1;
    return status;
}

static void one_worker_passes_timed_waits(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) top = sp_submit(pool, timed_depth, 20);
    int reached = 0;
    assert_int_equal(sp_result(top, &reached, SP_FOREVER), SP_OK);
    assert_int_equal(reached, 20);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

enum way { WAIT_ALL, WAIT_ALL_TIMED, WAIT_FIRST, WAIT_FIRST_ERROR, AS_COMPLETED, MAP };

static int triple(int x)
{
    return 3 * x;
}
SP_FUNCTION(triple, int, int);

static sp_status wait_inside(const enum way *in, int *out)
{
    enum { N = 5 };
    sp_future *futures[N] = { NULL };
    int inputs[N] = { 0, 1, 2, 3, 4 }, outputs[N];
    sp_status status = SP_OK;
    if (*in == MAP) {
        status = sp_map(pool, triple, inputs, outputs, N, .chunksize = 2);
        *out = outputs[4];
        return status;
    }
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, triple, i);
    if (*in == AS_COMPLETED) {
        sp_auto(sp_completion) set = sp_as_completed(futures, N, SP_FOREVER);
        while (sp_next(set) != NULL)
            continue;
        status = sp_completion_status(set);
    } else {
        sp_wait_until until = *in == WAIT_FIRST         ? SP_FIRST_COMPLETED
                              : *in == WAIT_FIRST_ERROR ? SP_FIRST_ERROR
                                                        : SP_ALL_COMPLETED;
        status = sp_wait(futures, N, until, *in == WAIT_ALL_TIMED ? 60.0 : SP_FOREVER);
    }
    if (status == SP_OK)
        status = sp_result(futures[4], out, SP_FOREVER);
    sp_release_all(futures, N);
    return status;
}
typedef enum way wait_way;
SP_TASK(wait_inside, wait_way, int);

static void one_worker_passes_every_way_of_waiting(void **state)
{
    (void)state;
    for (enum way way = WAIT_ALL; way <= MAP; way++) {
        for (unsigned workers = 1; workers <= 3; workers++) {
            pool = sp_thread_pool(.max_workers = workers);
            sp_auto(sp_future) future = sp_submit(pool, wait_inside, way);
            int value = 0;
            assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
            assert_int_equal(value, 12);
            assert_int_equal(sp_shutdown(pool), SP_OK);
            sp_executor_release(pool);
        }
    }
}

/* ---- deadlocks are named ---- */

static sp_event told;
static sp_future *own;

static sp_status wait_for_own(const double *timeout, sp_status *out)
{
    sp_event_wait(&told, SP_FOREVER);
    *out = sp_result(own, NULL, *timeout);
    if (*out == SP_DEADLOCK)
        *out = sp_wait(&own, 1, SP_FIRST_COMPLETED, *timeout);
    if (*out == SP_DEADLOCK && sp_future_wait(own, *timeout))
        return sp_raise(SP_RUNTIME_ERROR, "waited for itself");
    sp_auto(sp_completion) set = sp_as_completed(&own, 1, *timeout);
    if (*out == SP_DEADLOCK && (sp_next(set) != NULL || sp_completion_status(set) != SP_DEADLOCK))
        return sp_raise(SP_RUNTIME_ERROR, "took itself");
    return SP_OK;
}
SP_TASK(wait_for_own, double, sp_status);

static void own_future_is_deadlock_whatever_the_timeout(void **state)
{
    (void)state;
    double timeouts[] = { SP_NOWAIT, 0.5, SP_FOREVER };
    pool = sp_thread_pool(.max_workers = 1);
    for (int i = 0; i < 3; i++) {
        sp_event_clear(&told);
        own = sp_submit(pool, wait_for_own, timeouts[i]);
        sp_event_set(&told);
        sp_status inner = SP_OK;
        assert_int_equal(sp_result(own, &inner, SP_FOREVER), SP_OK);
        assert_int_equal(inner, SP_DEADLOCK);
        sp_future_release(own);
    }
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static sp_future *pair[2];

static sp_status wait_for_the_other(const int *in, sp_status *out)
{
    sp_event_wait(&told, SP_FOREVER);
    *out = sp_result(pair[1 - *in], NULL, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_the_other, int, sp_status);

static void two_tasks_that_wait_for_each_other_get_deadlock(void **state)
{
    (void)state;
    for (long i = test_count(300); i > 0; i--) {
        sp_event_clear(&told);
        pool = sp_thread_pool(.max_workers = 2);
        pair[0] = sp_submit(pool, wait_for_the_other, 0);
        pair[1] = sp_submit(pool, wait_for_the_other, 1);
        sp_event_set(&told);
        sp_status ends[2];
        for (int k = 0; k < 2; k++)
            assert_int_equal(sp_result(pair[k], &ends[k], SP_FOREVER), SP_OK);
        assert_true((ends[0] == SP_DEADLOCK) + (ends[1] == SP_DEADLOCK) == 1);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
        sp_release_all(pair, 2);
    }
}

/* ---- a helped task is somebody else ---- */

static sp_lock lock;

static sp_status raise_and_lock(const sp_none *in, int *out)
{
    (void)in;
    *out = sp_lock_acquire_timeout(&lock, SP_NOWAIT); /* held by the one who waits for us, on this very thread */
    return sp_raise(SP_USER_ERROR + 2, "from inside");
}
SP_TASK(raise_and_lock, sp_none, int);

static sp_status raise_around(const sp_none *in, int *out)
{
    (void)in;
    SP_HOLD(&lock);
    sp_status status = sp_raise(SP_VALUE_ERROR, "from outside");
    sp_auto(sp_future) inner = sp_submit(pool, raise_and_lock);
    *out = (int)sp_result(inner, NULL, SP_FOREVER);
    bool fine = sp_future_error(inner)->status == (sp_status)(SP_USER_ERROR + 2) &&
                strcmp(sp_future_error(inner)->message, "from inside") == 0;
    return fine ? status : SP_RUNTIME_ERROR;
}
SP_TASK(raise_around, sp_none, int);

static void a_helped_task_has_its_own_errors_and_locks(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, raise_around);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_VALUE_ERROR);
    assert_string_equal(sp_future_error(future)->message, "from outside");
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static sp_status thread_of(const sp_none *in, pthread_t *out)
{
    (void)in;
    *out = pthread_self();
    return SP_OK;
}
SP_TASK(thread_of, sp_none, pthread_t);

static void who_is_no_worker_never_runs_a_task(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 1);
    for (long i = test_count(500); i > 0; i--) {
        sp_auto(sp_future) future = sp_submit(pool, thread_of);
        pthread_t runner;
        assert_int_equal(sp_result(future, &runner, SP_FOREVER), SP_OK);
        assert_false(pthread_equal(runner, pthread_self()));
    }
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* ---- a tree of tasks, many times ---- */

static sp_status tree(const int *in, long *out);
SP_TASK(tree, int, long);
static sp_status tree(const int *in, long *out)
{
    if (*in < 2) {
        *out = *in;
        return SP_OK;
    }
    sp_auto(sp_future) a = sp_submit(pool, tree, *in - 1);
    sp_auto(sp_future) b = sp_submit(pool, tree, *in - 2);
    long x = 0, y = 0;
    sp_status status = sp_result(a, &x, *in % 5 == 0 ? 60.0 : SP_FOREVER);
    if (status == SP_OK)
        status = sp_result(b, &y, SP_FOREVER);
    *out = x + y;
    return status;
}

static void trees_of_tasks_with_all_kinds_of_waits(void **state)
{
    (void)state;
    sp__fault_spurious(test_seed(), 50);
    for (long i = test_count(30); i > 0; i--) {
        pool = sp_thread_pool(.max_workers = 1 + (unsigned)(i % 4));
        sp_auto(sp_future) top = sp_submit(pool, tree, 12);
        long value = 0;
        assert_int_equal(sp_result(top, &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, 144);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
    }
    sp__fault_spurious(0, 0);
}

/* ---- lending keeps the bound ---- */

static uint32_t running, most; /* atomic */

static sp_status wait_a_little(const int *in, int *out);
SP_TASK(wait_a_little, int, int);
static sp_status wait_a_little(const int *in, int *out)
{
    uint32_t now = sp__add_seq_cst(&running, 1) + 1, peak = sp__load_relaxed(&most);
    while (now > peak && !sp__cas_relaxed(&most, &peak, now))
        continue;
    *out = *in;
    sp__sub_seq_cst(&running, 1);
    if (*in == 0)
        return SP_OK;
    sp_auto(sp_future) inner = sp_submit(pool, wait_a_little, *in - 1);
    return sp_future_wait(inner, 60.0) ? SP_OK : SP_TIMEOUT;
}

static void lent_workers_go_when_the_wait_ends(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 2);
    sp_future *futures[20];
    for (int i = 0; i < 20; i++)
        futures[i] = sp_submit(pool, wait_a_little, 5);
    assert_int_equal(sp_wait(futures, 20, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    sp_release_all(futures, 20);
    sp_executor_statistics stats;
    test_await((sp_executor_stats(pool, &stats), stats.workers <= 2));
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* ---- idle workers that end against submits that count on them ---- */

static void idle_time_against_submits_and_loans(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    sp__fault_spurious(random, 50);
    for (unsigned workers = 1; workers <= 3; workers++) {
        pool = sp_thread_pool(.max_workers = workers, .idle_seconds = 60e-6);
        for (long i = test_count(300); i > 0; i--) {
            sp_auto(sp_future) top = sp_submit(pool, timed_depth, 3);
            int reached = 0;
            assert_int_equal(sp_result(top, &reached, SP_FOREVER), SP_OK);
            assert_int_equal(reached, 3);
            for (uint64_t spin = test_random(&random) % 8000; spin > 0; spin--)
                sp__cpu_relax();
        }
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
    }
    sp__fault_spurious(0, 0);
}

/* ---- no queue waits for ever while another is kept full ---- */

static sp_executor *busy;
static sp_event child_ran;

static sp_status set_child_ran(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp_event_set(&child_ran);
    return SP_OK;
}
SP_TASK(set_child_ran, sp_none, sp_none);

/* Waits for its child without the pool's help: the child lies in this worker's own queue, and the other worker has enough to
   do. */
static sp_status wait_for_child_by_event(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    if (sp_post(busy, set_child_ran, SP_NONE) != SP_OK)
        return SP_RUNTIME_ERROR;
    (void)sp_event_wait(&child_ran, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_child_by_event, sp_none, sp_none);

static sp_status nothing(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    return SP_OK;
}
SP_TASK(nothing, sp_none, sp_none);

static void a_blocked_workers_queue_is_emptied_though_the_inbox_is_never_empty(void **state)
{
    (void)state;
    sp_auto(sp_executor) two = busy = sp_thread_pool(.max_workers = 2);
    sp_event_clear(&child_ran);
    sp_auto(sp_future) parent = sp_submit(two, wait_for_child_by_event, SP_NONE);
    while (!sp_future_done(parent)) /* never, if nobody takes from the other queue before the inbox is empty */
        for (int i = 0; i < 100; i++)
            assert_int_equal(sp_post(two, nothing, SP_NONE), SP_OK);
    assert_int_equal(sp_result(parent, NULL, SP_NOWAIT), SP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_blocked_workers_queue_is_emptied_though_the_inbox_is_never_empty),
        cmocka_unit_test(one_worker_passes_nested_submits),
        cmocka_unit_test(too_little_stack_lends_a_worker_instead),
        cmocka_unit_test(one_worker_passes_timed_waits),
        cmocka_unit_test(one_worker_passes_every_way_of_waiting),
        cmocka_unit_test(own_future_is_deadlock_whatever_the_timeout),
        cmocka_unit_test(two_tasks_that_wait_for_each_other_get_deadlock),
        cmocka_unit_test(a_helped_task_has_its_own_errors_and_locks),
        cmocka_unit_test(who_is_no_worker_never_runs_a_task),
        cmocka_unit_test(trees_of_tasks_with_all_kinds_of_waits),
        cmocka_unit_test(idle_time_against_submits_and_loans),
        cmocka_unit_test(lent_workers_go_when_the_wait_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
