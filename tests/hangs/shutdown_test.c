/* Hangs of other pools: the end of a pool against everything else.

   Each test says which report it comes from and what shape that has.  A pool with the defect waits for ever; the time limit
   of the test ends it then.

   SPDX-License-Identifier: MIT */
#include "conformance/futures.h"

#include <string.h>

#include "conformance/bunch.h"
#include "os/fault.h"
#include "stress/stress.h"

static sp_executor *pool; /* of the test that runs */

static void ignore_error(const sp_error *error, void *context)
{
    (void)error, (void)context;
}

static int set_up(void **state)
{
    (void)state;
    sp_set_unseen_error_hook(ignore_error, NULL);
    gate_close();
    return 0;
}

static void end_pool(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    stress_assert_nothing_wrong();
}

/* ---- the end comes early ---- */

/* samtools/htslib#746 (1 run in 20), cpython issue 12364: closed right after the submits, while workers are just starting,
   taking, or falling asleep. */
static void closed_right_after_the_submits(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    sp__fault_spurious(random, 50);
    for (long round = test_count(500); round > 0; round--) {
        sp_future *futures[3];
        int n = (int)(test_random(&random) % 4);
        pool = sp_thread_pool(.max_workers = 1 + (unsigned)(test_random(&random) % 4));
        for (int i = 0; i < n; i++)
            futures[i] = sp_submit(pool, mul, i, 3);
        stress_linger(test_random(&random) % 2000);
        bool drains = stress_one_in(2, &random);
        if (drains)
            assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
        for (int i = 0; i < n; i++) {
            int value = -1;
            assert_int_equal(sp_result(futures[i], &value, drains ? SP_NOWAIT : SP_FOREVER), SP_OK);
            assert_int_equal(value, 3 * i);
        }
        sp_release_all(futures, (size_t)n);
    }
    sp__fault_spurious(0, 0);
}

/* OpenMathLib/OpenBLAS#2350, google/pthreadpool#92, pytorch/executorch#16416: the end of a pool that never did anything. */
static void a_pool_that_never_worked(void **state)
{
    (void)state;
    for (long round = test_count(500); round > 0; round--) {
        pool = sp_thread_pool(.max_workers = 1 + (unsigned)round % 8, .idle_seconds = round % 3 == 0 ? 1e-6 : 0);
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        if (round % 2)
            assert_int_equal(sp_shutdown(pool, .cancel_futures = round % 4 == 1), SP_OK);
        sp_executor_release(pool);
    }
}

/* Pithikos/C-Thread-Pool#88, #13: what ends one pool ends another one, too. */
static void the_end_of_one_pool_is_not_that_of_another(void **state)
{
    (void)state;
    sp_executor *other = sp_thread_pool(.max_workers = 1);
    pool = sp_thread_pool(.max_workers = 1);
    sp_future *first = sp_submit(pool, pass, 1), *second = sp_submit(other, mul, 6, 7);
    assert_int_equal(sp_result(second, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_shutdown(other), SP_OK);
    sp_executor_release(other);
    sp_future_release(second);
    second = sp_submit(pool, mul, 6, 7);
    gate_open();
    assert_int_equal(sp_result(first, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_result(second, NULL, SP_FOREVER), SP_OK);
    sp_future_release(first);
    sp_future_release(second);
    end_pool();
}

/* ---- submits against the end ---- */

static sp_status fail_if_odd(const int *in, int *out)
{
    *out = *in;
    return *in % 2 ? sp_raise(SP_VALUE_ERROR, "odd") : SP_OK;
}
SP_TASK(fail_if_odd, int, int);

/* Submit until the pool is closed; every future must have an end, and the pool's, not another one. */
static void *submit_until_closed(void *arg)
{
    for (int i = 0;; i++) {
        sp_auto(sp_future) future = sp_submit(pool, fail_if_odd, i);
        sp_status status = sp_result(future, NULL, SP_FOREVER);
        if (status == SP_SHUT_DOWN)
            return arg;
        stress_expect(status == (i % 2 ? SP_VALUE_ERROR : SP_OK) || status == SP_CANCELLED);
    }
}

static void *close_it(void *arg)
{
    stress_expect(sp_executor_shutdown(pool, arg) == SP_OK);
    return NULL;
}

/* samtools/htslib#831, #833 (the error path), #462, Haivision/srt#3312: tasks fail, submitters wait for room in the queue,
   and the pool is closed by several threads at once. */
static void submitters_waiting_for_room_and_failing_tasks(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    sp__fault_spurious(random, 50);
    for (long round = test_count(100); round > 0; round--) {
        pthread_t submitters[4], closers[2];
        sp_shutdown_options options = { .struct_size = sizeof options, .cancel_futures = round % 2 };
        pool = sp_thread_pool(.max_workers = 2, .max_pending = 1);
        for (int i = 0; i < 4; i++)
            submitters[i] = test_thread(submit_until_closed, NULL);
        stress_linger(test_random(&random) % 50000);
        for (int i = 0; i < 2; i++)
            closers[i] = test_thread(close_it, &options);
        for (int i = 0; i < 4; i++)
            test_join(submitters[i]);
        for (int i = 0; i < 2; i++)
            test_join(closers[i]);
        end_pool();
    }
    sp__fault_spurious(0, 0);
}

/* taskflow/taskflow#479: a task that fails is never counted as done, and whoever waits for the rest waits for ever. */
static void failed_tasks_count_as_done(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 2);
    for (long round = test_count(200); round > 0; round--) {
        for (int i = 0; i < 4; i++)
            assert_int_equal(sp_post(pool, fail_if_odd, i), SP_OK);
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        sp_executor_statistics stats;
        sp_executor_stats(pool, &stats);
        assert_int_equal(stats.submitted, stats.completed);
    }
    end_pool();
}

static uint32_t posted; /* atomic; tasks of the tree that ran */

static sp_status post_two(const int *in, sp_none *out);
SP_TASK(post_two, int, sp_none);
static sp_status post_two(const int *in, sp_none *out)
{
    (void)out;
    sp__add_seq_cst(&posted, 1);
    for (int i = 0; i < 2 && *in > 0; i++)
        stress_expect(sp_post(pool, post_two, *in - 1) == SP_OK);
    return SP_OK;
}

/* cmuparlay/parlaylib#100, samtools/htslib#1309: idle for a moment, between a task's end and that of what it submitted, is
   taken for the end of all work, or the end of all work is not noticed. */
static void idle_only_after_what_tasks_submit(void **state)
{
    (void)state;
    for (long round = test_count(100); round > 0; round--) {
        pool = sp_thread_pool(.max_workers = 1 + (unsigned)round % 4);
        sp__store_release(&posted, 0);
        assert_int_equal(sp_post(pool, post_two, 6), SP_OK);
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        assert_int_equal(posted, 127);
        end_pool();
    }
    gate_close();
    pool = sp_thread_pool(.max_workers = 1);
    assert_int_equal(sp_post(pool, pass, 1), SP_OK);
    gate_await(1); /* nothing is queued */
    assert_false(sp_executor_wait_idle(pool, 0.005));
    gate_open();
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    assert_int_equal(gate.passed, 1);
    end_pool();
}

/* ---- full queues ---- */

static void post_one_more(sp_future *future, void *context)
{
    (void)future;
    sp_status status = sp_post(pool, mul, 1, 1);
    stress_expect(status == SP_OK);
    sp__add_seq_cst((uint32_t *)context, 1);
}

enum { CROWD = 4, CALLS = 200 };
static uint32_t called; /* atomic */

static void *submit_with_callbacks(void *arg)
{
    for (int i = 0; i < CALLS; i++) {
        sp_auto(sp_future) future = sp_submit(pool, mul, i, 1);
        sp_future_add_done_callback(future, post_one_more, &called);
    }
    return arg;
}

/* cpython#105829 as far as it is about threads: a flood of submits fills the queue, and whoever empties it first wants to put
   something in. */
static void callbacks_submit_past_a_full_queue(void **state)
{
    (void)state;
    for (long round = test_count(5); round > 0; round--) {
        pthread_t threads[CROWD];
        unsigned workers = 1 + (unsigned)round % 2;
        gate_close();
        sp__store_release(&called, 0);
        pool = sp_thread_pool(.max_workers = workers, .max_pending = 2);
        for (unsigned i = 0; i < workers; i++) { /* these call back when the queue is full for certain */
            sp_auto(sp_future) future = sp_submit(pool, pass, 1);
            sp_future_add_done_callback(future, post_one_more, &called);
            gate_await(i + 1);
        }
        for (int i = 0; i < 2; i++)
            assert_int_equal(sp_post(pool, mul, 1, 1), SP_OK);
        for (int i = 0; i < CROWD; i++)
            threads[i] = test_thread(submit_with_callbacks, NULL);
        gate_open();
        for (int i = 0; i < CROWD; i++)
            test_join(threads[i]);
        test_await(sp__load_acquire(&called) == CROWD * CALLS + workers);
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        sp_executor_statistics stats;
        sp_executor_stats(pool, &stats);
        assert_int_equal(stats.completed, 2 * (CROWD * CALLS + workers) + 2);
        end_pool();
    }
}

/* ---- the pool breaks ---- */

static sp_event may_fail;

static sp_status fail_when_told(void *arg)
{
    (void)arg;
    sp_event_wait(&may_fail, SP_FOREVER);
    return sp_raise(SP_VALUE_ERROR, "no licence");
}

static void submit_to_a_pool_that_breaks(void *context)
{
    (void)context;
    sp_auto(sp_future) future = sp_submit(pool, mul, 6, 7);
    stress_expect(sp_result(future, NULL, SP_FOREVER) == SP_BROKEN_POOL);
}

/* cpython#94777 as far as it is about threads: the worker ends while submitters wait for it to take something. */
static void submitters_waiting_for_room_in_a_pool_that_breaks(void **state)
{
    (void)state;
    for (long round = test_count(50); round > 0; round--) {
        struct bunch bunch;
        sp_event_clear(&may_fail);
        pool = sp_thread_pool(.max_workers = 1, .max_pending = 1, .initializer = fail_when_told);
        sp_auto(sp_future) first = sp_submit(pool, mul, 6, 7); /* full */
        bunch_start(&bunch, CROWD, submit_to_a_pool_that_breaks, NULL);
        if (round % 2)
            bunch_await_sleep(&bunch);
        sp_event_set(&may_fail);
        bunch_join(&bunch);
        assert_int_equal(sp_result(first, NULL, SP_FOREVER), SP_BROKEN_POOL);
        end_pool();
    }
}

/* cpython#125451 as far as it is about threads: the pool is closed while it breaks; each waits for what the other holds. */
static void closed_while_it_breaks(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    for (long round = test_count(200); round > 0; round--) {
        sp_future *futures[4];
        sp_shutdown_options options = { .struct_size = sizeof options, .cancel_futures = round % 2 };
        sp_event_clear(&may_fail);
        pool = sp_thread_pool(.max_workers = 2, .initializer = fail_when_told);
        for (int i = 0; i < 4; i++)
            futures[i] = sp_submit(pool, mul, i, i);
        pthread_t closer = test_thread(close_it, &options);
        stress_linger(test_random(&random) % 20000);
        sp_event_set(&may_fail);
        for (int i = 0; i < 4; i++) {
            sp_status status = sp_result(futures[i], NULL, SP_FOREVER);
            assert_true(status == SP_BROKEN_POOL || status == SP_CANCELLED);
        }
        test_join(closer);
        sp_release_all(futures, 4);
        end_pool();
    }
}

/* bpo-39104: closed without waiting, then the last task fails. */
static void a_failure_after_the_close(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 2);
    sp_auto(sp_future) first = sp_submit(pool, pass, 1);
    sp_auto(sp_future) second = sp_submit(pool, pass, 1);
    sp_auto(sp_future) last = sp_submit(pool, divide, 1, 0);
    assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK);
    gate_open();
    assert_int_equal(sp_result(last, NULL, SP_FOREVER), SP_VALUE_ERROR);
    end_pool();
}

/* ---- ended from inside ---- */

static sp_status release_the_pool(sp_executor *const *in, int *out)
{
    *out = 1;
    sp_event_wait(&gate.open, SP_FOREVER); /* until it has the last handle */
    sp_executor_release(*in);
    return SP_OK;
}
typedef sp_executor *executor_pointer;
SP_TASK(release_the_pool, executor_pointer, int);

static void release_in_callback(sp_future *future, void *context)
{
    (void)future;
    sp_executor_release(context);
}

/* The shape of Haivision/srt#3312: the pool is ended by a thread that its end waits for. */
static void the_last_handle_goes_in_a_task_or_callback(void **state)
{
    (void)state;
    for (long round = test_count(100); round > 0; round--) {
        gate_close();
        sp_executor *mine = sp_thread_pool(.max_workers = 2);
        sp_auto(sp_future) future = NULL;
        if (round % 2) {
            future = sp_submit(mine, release_the_pool, mine);
        } else {
            future = sp_submit(mine, pass, 1);
            sp_future_add_done_callback(future, release_in_callback, mine);
        }
        sp_auto(sp_future) after = sp_submit(mine, mul, 6, 7);
        gate_open();
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
        assert_int_equal(sp_result(after, NULL, SP_FOREVER), SP_OK);
    }
    assert_true(sp_join_all(SP_FOREVER)); /* nothing of them is left */
}

#define HANG_TEST(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HANG_TEST(closed_right_after_the_submits),
        HANG_TEST(a_pool_that_never_worked),
        HANG_TEST(the_end_of_one_pool_is_not_that_of_another),
        HANG_TEST(submitters_waiting_for_room_and_failing_tasks),
        HANG_TEST(failed_tasks_count_as_done),
        HANG_TEST(idle_only_after_what_tasks_submit),
        HANG_TEST(callbacks_submit_past_a_full_queue),
        HANG_TEST(submitters_waiting_for_room_in_a_pool_that_breaks),
        HANG_TEST(closed_while_it_breaks),
        HANG_TEST(a_failure_after_the_close),
        HANG_TEST(the_last_handle_goes_in_a_task_or_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
