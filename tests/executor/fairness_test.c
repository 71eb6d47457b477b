/* Whatever keeps a pool busy, what was submitted elsewhere gets its turn: counted in tasks that begin before it, not in time.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>
#include <spool/time.h>

#include "base/atomic.h"

static sp_executor *pool;
static uint32_t stop, steps; /* atomic; steps of all loops */

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void be_busy(int64_t nanoseconds)
{
    int64_t end = now() + nanoseconds;
    while (now() < end)
        continue;
}

/* ---- tasks that submit themselves ---- */

static sp_status step(const int64_t *nanoseconds, sp_none *out);
SP_TASK(step, int64_t, sp_none);
static sp_status step(const int64_t *nanoseconds, sp_none *out)
{
    (void)out;
    sp__add_seq_cst(&steps, 1);
    be_busy(*nanoseconds);
    return sp__load_seq_cst(&stop) ? SP_OK : sp_post(pool, step, *nanoseconds);
}

static void begin_loops(unsigned workers, int64_t nanoseconds)
{
    sp__store_seq_cst(&stop, 0);
    pool = sp_thread_pool(.max_workers = workers);
    for (int i = 0; i < 4; i++)
        assert_int_equal(sp_post(pool, step, nanoseconds), SP_OK);
    uint32_t before = sp__load_seq_cst(&steps);
    test_await(sp__load_seq_cst(&steps) - before > 4);
}

static void end_loops(void)
{
    sp__store_seq_cst(&stop, 1);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static int steps_so_far(int unused)
{
    (void)unused;
    return (int)sp__load_seq_cst(&steps);
}
SP_FUNCTION(steps_so_far, int, int);

/* How many steps began between a submit from outside and its task. */
static int steps_before_outside(void)
{
    sp_auto(sp_future) future = sp_submit(pool, steps_so_far, 0);
    int before = (int)sp__load_seq_cst(&steps), then = before; /* read late: the submitter may have been preempted */
    assert_int_equal(sp_result(future, &then, SP_FOREVER), SP_OK);
    return then > before ? then - before : 0; /* else it had begun when we looked */
}

static void outside_work_waits_for_a_millisecond_of_tasks(void **state)
{
    (void)state;
    static const struct {
        int64_t nanoseconds;
        int most; /* for each worker */
    } lengths[] = { { 0, 100000 }, { 1000, 3000 }, { 100000, 40 }, { 1000000, 4 }, { 5000000, 4 } };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int workers = 1; workers <= 3; workers++) {
            begin_loops((unsigned)workers, lengths[i].nanoseconds);
            for (long n = test_count(10); n > 0; n--)
                assert_in_range(steps_before_outside(), 0, workers * lengths[i].most);
            end_loops();
        }
}

/* A burst from outside takes about as long as if all had stood in one line. */
static void a_burst_from_outside_is_done_in_its_turn(void **state)
{
    (void)state;
    enum { N = 200 };
    begin_loops(2, 100000);
    sp_future *futures[N];
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, steps_so_far, i);
    int before = (int)sp__load_seq_cst(&steps), last = 0;
    for (int i = 0; i < N; i++)
        assert_int_equal(sp_result(futures[i], &last, SP_FOREVER), SP_OK);
    assert_in_range(last - before, 0, 4 * N);
    sp_release_all(futures, N);
    end_loops();
}

/* ---- the other way round ---- */

static sp_event open_gate;
static sp_status wait_at_gate(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&open_gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_at_gate, sp_none, sp_none);

static sp_status be_busy_shortly(const int *in, sp_none *out)
{
    (void)in, (void)out;
    be_busy(5000);
    return SP_OK;
}
SP_TASK(be_busy_shortly, int, sp_none);

static void what_tasks_submit_gets_its_turn_in_a_flood_from_outside(void **state)
{
    (void)state;
    enum { N = 20000 };
    sp_event_clear(&open_gate);
    sp__store_seq_cst(&stop, 0);
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) gate = sp_submit(pool, wait_at_gate, SP_NONE);
    assert_int_equal(sp_post(pool, step, 1000), SP_OK);
    uint32_t before = sp__load_seq_cst(&steps);
    for (int i = 0; i < N - 1; i++)
        assert_int_equal(sp_post(pool, be_busy_shortly, i), SP_OK);
    sp_auto(sp_future) last = sp_submit(pool, be_busy_shortly, N);
    sp_event_set(&open_gate);
    assert_int_equal(sp_result(last, NULL, SP_FOREVER), SP_OK);
    assert_in_range(sp__load_seq_cst(&steps) - before, N / 10, 100 * N);
    end_loops();
}

/* ---- what lies in the deque of a worker that is busy ---- */

static uint32_t children; /* atomic; of wait_with_children, that have run */
static sp_status be_a_child(const int *in, sp_none *out)
{
    (void)in, (void)out;
    sp__add_seq_cst(&children, 1);
    return SP_OK;
}
SP_TASK(be_a_child, int, sp_none);

static sp_status wait_with_children(const int *n, sp_none *out)
{
    (void)out;
    for (int i = 0; i < *n; i++)
        if (sp_post(pool, be_a_child, i) != SP_OK)
            return SP_RUNTIME_ERROR;
    sp_event_wait(&open_gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_with_children, int, sp_none);

static void children_of_a_busy_task_are_run_by_others_that_are_busy_too(void **state)
{
    (void)state;
    enum { N = 50 };
    sp_event_clear(&open_gate);
    sp__store_seq_cst(&children, 0);
    begin_loops(2, 1000000);
    sp_auto(sp_future) parent = sp_submit(pool, wait_with_children, N);
    test_await(sp_future_running(parent));
    uint32_t before = sp__load_seq_cst(&steps);
    test_await(sp__load_seq_cst(&children) == N);
    assert_in_range(sp__load_seq_cst(&steps) - before, 0, 12 * N);
    sp_event_set(&open_gate);
    assert_int_equal(sp_result(parent, NULL, SP_FOREVER), SP_OK);
    end_loops();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outside_work_waits_for_a_millisecond_of_tasks),
        cmocka_unit_test(a_burst_from_outside_is_done_in_its_turn),
        cmocka_unit_test(what_tasks_submit_gets_its_turn_in_a_flood_from_outside),
        cmocka_unit_test(children_of_a_busy_task_are_run_by_others_that_are_busy_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
