/* The edges of a worker's life: what initializers and finalizers may wait for, starts that fail, a shutdown in the middle of
   a submit.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "executor/pool.h"
#include "os/fault.h"

static sp_executor *pool; /* of the test that runs */

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

static uint64_t crew_of_pool(void)
{
    return sp__load_seq_cst(&sp__pool_of(pool)->crew);
}

/* ---- an initializer that waits ---- */

static sp_wait_until awaited_until;
static uint32_t initialized; /* atomic */

/* Submits to its own pool and waits without a limit: with one worker there is nobody else to run it. */
static sp_status wait_for_own_submits(void *arg)
{
    sp_future *futures[3];
    (void)arg;
    for (int i = 0; i < 3; i++)
        futures[i] = sp_submit(pool, pass, i);
    sp_status status = sp_wait(futures, 3, awaited_until, SP_FOREVER);
    for (int i = 0; i < 3; i++)
        (void)sp_future_error(futures[i]); /* the shutdown may have been quicker */
    sp_release_all(futures, 3);
    sp__add_seq_cst(&initialized, 1);
    return status;
}

static void an_initializer_waits_for_what_it_submits(void **state)
{
    (void)state;
    static const sp_wait_until ways[] = { SP_ALL_COMPLETED, SP_FIRST_COMPLETED, SP_FIRST_ERROR };
    for (unsigned i = 0; i < 9; i++) {
        awaited_until = ways[i % 3];
        pool = sp_thread_pool(.max_workers = 1 + i / 3, .initializer = wait_for_own_submits);
        sp_auto(sp_future) future = sp_submit(pool, pass, 5);
        int value = 0;
        assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, 5);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
    }
    assert_true(sp__load_seq_cst(&initialized) >= 9);
}

/* ---- a finalizer that waits ---- */

static sp_event task_goes_on, finalizer_waits;
static sp_future *held;

static sp_status wait_to_go_on(const int *in, int *out)
{
    sp_event_wait(&task_goes_on, SP_FOREVER);
    *out = *in;
    return SP_OK;
}
SP_TASK(wait_to_go_on, int, int);

/* The first worker that ends waits for a task of its own pool that runs in another. */
static void wait_for_held(void *arg)
{
    sp_future **future = arg;
    sp_event_set(&finalizer_waits);
    if (*future != NULL)
        assert_int_equal(sp_wait(future, 1, SP_FIRST_COMPLETED, SP_FOREVER), SP_OK);
}

static void a_finalizer_that_waits_has_no_permit_to_give(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 2, .idle_seconds = 0.001, .finalizer = wait_for_held,
                          .initializer_arg = &held);
    held = sp_submit(pool, wait_to_go_on, 1);
    test_await(sp_future_running(held));
    sp_auto(sp_future) other = sp_submit(pool, pass, 2); /* its worker ends soon, while the first runs */
    sp_event_wait(&finalizer_waits, SP_FOREVER);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(sp__crew_awake(crew_of_pool()), 1);
        sched_yield();
    }
    sp_event_set(&task_goes_on);
    assert_int_equal(sp_result(held, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(crew_of_pool(), 0);
    sp_future_release(held);
    sp_executor_release(pool);
}

/* ---- a worker that cannot be started, and others who relied on it ---- */

static sp_event submits_now;

static sp_status submit_and_wait(const int *in, int *out)
{
    sp_event_wait(&submits_now, SP_FOREVER);
    sp_auto(sp_future) inner = sp_submit(pool, pass, *in);
    sp_status status = sp_wait(&inner, 1, SP_FIRST_COMPLETED, SP_FOREVER);
    *out = (int)sp_future_error(inner)->status;
    return status;
}
SP_TASK(submit_and_wait, int, int);

static void *submit_one(void *arg)
{
    (void)arg;
    sp_auto(sp_future) future = sp_submit(pool, pass, 1);
    return sp_result(future, NULL, SP_FOREVER) == SP_OS_ERROR ? NULL : &pool;
}

static unsigned lent(void)
{
    struct sp__pool *of_pool = sp__pool_of(pool);
    sp_lock_acquire(&of_pool->lock);
    unsigned now = of_pool->lent;
    sp_lock_release(&of_pool->lock);
    return now;
}

/* A submitter starts a worker.  Meanwhile the only task submits and goes to sleep: somebody comes to run it.  Nobody comes. */
static void a_start_that_fails_is_told_to_a_task_that_relied_on_it(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 2);
    sp_auto(sp_future) top = sp_submit(pool, submit_and_wait, 7);
    test_await(sp_future_running(top) && sp__crew_searching(crew_of_pool()) == 0);
    sp__registry_lock(); /* stops the start in its middle */
    pthread_t submitter = test_thread(submit_one, NULL);
    test_await(sp__crew_searching(crew_of_pool()) == 1);
    sp_event_set(&submits_now);
    test_await(lent() == 1 && sp__crew_awake(crew_of_pool()) == 1);
    sp__fault_arm(1, false);
    sp__registry_unlock();
    int status = SP_OK;
    assert_int_equal(sp_result(top, &status, SP_FOREVER), SP_OK);
    assert_int_equal(sp__fault_disarm(), 1);
    assert_int_equal(status, SP_OS_ERROR);
    void *wrong;
    assert_int_equal(pthread_join(submitter, &wrong), 0);
    assert_null(wrong);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static sp_event waits_now;

/* Leaves something in the queue, and waits for a task that runs. */
static sp_status submit_and_wait_for_other(sp_future *const *in, int *out)
{
    sp_event_wait(&waits_now, SP_FOREVER);
    sp_auto(sp_future) inner = sp_submit(pool, pass, 8);
    sp_status status = sp_wait(in, 1, SP_FIRST_COMPLETED, SP_FOREVER);
    *out = (int)sp_result(inner, NULL, SP_FOREVER);
    return status;
}
typedef sp_future *future_pointer;
SP_TASK(submit_and_wait_for_other, future_pointer, int);

/* The same, but it is a task that starts the worker, to go to sleep itself. */
static void a_start_that_fails_for_a_task_is_told_to_another(void **state)
{
    (void)state;
    sp_event_clear(&submits_now);
    pool = sp_thread_pool(.max_workers = 2);
    sp_auto(sp_future) other = sp_submit(pool, submit_and_wait, 7);
    sp_auto(sp_future) top = sp_submit(pool, submit_and_wait_for_other, other);
    test_await(sp_future_running(top) && sp__crew_searching(crew_of_pool()) == 0);
    sp__registry_lock();
    sp_event_set(&waits_now);
    test_await(lent() == 1 && sp__crew_searching(crew_of_pool()) == 1);
    sp_event_set(&submits_now);
    test_await(lent() == 2 && sp__crew_awake(crew_of_pool()) == 1);
    sp__fault_arm(1, false);
    sp__registry_unlock();
    int status = SP_OK;
    assert_int_equal(sp_result(top, &status, SP_FOREVER), SP_OK);
    assert_int_equal(sp__fault_disarm(), 1);
    assert_int_equal(status, SP_OS_ERROR);
    assert_int_equal(sp_result(other, &status, SP_FOREVER), SP_OK);
    assert_int_equal(status, SP_OS_ERROR);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* ---- a shutdown between the two halves of a submit ---- */

static sp_future *in_between;
static uint32_t has_returned; /* atomic */

static void *shut_down(void *arg)
{
    sp_status *status = arg;
    *status = sp_shutdown(pool);
    if (!sp_future_done(in_between))
        *status = SP_TIMEOUT;
    sp__store_release(&has_returned, 1);
    return NULL;
}

static void look_at_nothing(void *context)
{
    (void)context;
}

static void shutdown_waits_for_a_submit_that_is_about_to_call_a_worker(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 2);
    struct sp__pool *of_pool = sp__pool_of(pool);
    sp_status status = SP_OK;
    in_between = sp__future_create(&pass_sp_task, &(int){ 3 }, &of_pool->base.owner, 2);
    assert_int_equal(sp__inbox_put(&of_pool->inbox, in_between, 0, look_at_nothing, NULL), SP_OK);
    pthread_t closer = test_thread(shut_down, &status);
    test_await(sp__load_acquire(&of_pool->closed));
    for (int i = 0; i < 1000; i++) {
        assert_false(sp__load_acquire(&has_returned));
        sched_yield();
    }
    assert_int_equal(sp__call_worker(of_pool), 0);
    test_join(closer);
    assert_int_equal(status, SP_OK);
    sp_future_release(in_between);
    sp_executor_release(pool);
}

/* ---- a broken pool, whose futures two workers fail at a time ---- */

static sp_future *children[3];
static sp_event held_task_ends;
static uint32_t workers_begun; /* atomic */

static sp_status third_worker_fails(void *arg)
{
    (void)arg;
    if (sp__add_seq_cst(&workers_begun, 1) != 2)
        return SP_OK;
    test_await(lent() == 1);
    return SP_USER_ERROR;
}

static sp_status wait_until_released(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&held_task_ends, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_until_released, sp_none, sp_none);

/* Between the third child and the second another worker comes and fails the second, for which a task waits. */
static void let_another_worker_go_on(sp_future *future, void *context)
{
    (void)future, (void)context;
    sp_event_set(&held_task_ends);
    test_await(sp_future_done(children[1]));
}

static sp_status wait_for_second_child(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    for (int i = 0; i < 3; i++)
        children[i] = sp_submit(pool, pass, i);
    sp_future_add_done_callback(children[2], let_another_worker_go_on, NULL);
    return sp_wait(&children[1], 1, SP_FIRST_COMPLETED, SP_FOREVER);
}
SP_TASK(wait_for_second_child, sp_none, sp_none);

static void an_awaited_future_of_a_broken_pool_keeps_its_place(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 3, .initializer = third_worker_fails);
    sp_auto(sp_future) holder = sp_submit(pool, wait_until_released);
    test_await(sp_future_running(holder) && sp__crew_searching(crew_of_pool()) == 0);
    sp_auto(sp_future) waiter = sp_submit(pool, wait_for_second_child);
    assert_int_equal(sp_result(waiter, NULL, SP_FOREVER), SP_OK);
    for (int i = 0; i < 3; i++) {
        assert_true(sp_future_wait(children[i], 50.0));
        assert_int_equal(sp_result(children[i], NULL, SP_NOWAIT), SP_BROKEN_POOL);
    }
    assert_int_equal(sp_result(holder, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_release_all(children, 3);
    sp_executor_release(pool);
}

/* ---- quiet, while what was queued is being cancelled ---- */

static sp_event cancelling, cancel_goes_on;

static void stop_cancelling(sp_future *future, void *context)
{
    (void)future, (void)context;
    sp_event_set(&held_task_ends);
    sp_event_set(&cancelling);
    sp_event_wait(&cancel_goes_on, SP_FOREVER);
}

static void *cancel_all(void *arg)
{
    (void)arg;
    return sp_shutdown(pool, .cancel_futures = true) == SP_OK ? NULL : &pool;
}

static void a_pool_is_not_idle_while_its_futures_are_cancelled(void **state)
{
    (void)state;
    sp_event_clear(&held_task_ends);
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) holder = sp_submit(pool, wait_until_released);
    test_await(sp_future_running(holder));
    sp_auto(sp_future) first = sp_submit(pool, pass, 1);
    sp_auto(sp_future) second = sp_submit(pool, pass, 2);
    sp_future_add_done_callback(first, stop_cancelling, NULL);
    pthread_t canceller = test_thread(cancel_all, NULL);
    sp_event_wait(&cancelling, SP_FOREVER);
    assert_int_equal(sp_result(holder, NULL, SP_FOREVER), SP_OK);
    assert_false(sp_executor_wait_idle(pool, 0.05));
    assert_false(sp_future_done(second));
    sp_event_set(&cancel_goes_on);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    assert_true(sp_future_cancelled(second));
    test_join(canceller);
    sp_executor_release(pool);
}

/* ---- many workers, most of which sleep ---- */

static sp_status timed_depth(const int *in, int *out);
SP_TASK(timed_depth, int, int);
static sp_status timed_depth(const int *in, int *out)
{
    *out = 0;
    if (*in == 0)
        return SP_OK;
    sp_auto(sp_future) inner = sp_submit(pool, timed_depth, *in - 1);
    int below = 0;
    sp_status status = sp_result(inner, &below, 600.0);
    *out = below + 1;
    return status;
}

static sp_event all_may_end;
static uint32_t inside; /* atomic */

static sp_status use_own_deque(const int *in, sp_none *out)
{
    (void)out;
    sp_auto(sp_future) future = sp_submit(pool, pass, *in);
    sp__add_seq_cst(&inside, 1);
    sp_event_wait(&all_may_end, SP_FOREVER);
    return sp_result(future, NULL, SP_FOREVER);
}
SP_TASK(use_own_deque, int, sp_none);

static unsigned count_marked(void)
{
    unsigned count = 0;
    for (unsigned at = 0; sp__next_deque(sp__pool_of(pool), &at) != NULL; at++)
        count++;
    return count;
}

/* Each marked one is looked at by everybody who looks for a task. */
static void deques_of_sleepers_are_not_looked_at(void **state)
{
    (void)state;
    enum { N = 100 };
    sp_future *futures[N];
    pool = sp_thread_pool(.max_workers = N, .stack_size = 128 * 1024);
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, use_own_deque, i);
    test_await(sp__load_seq_cst(&inside) == N);
    assert_int_equal(count_marked(), N);
    sp_event_set(&all_may_end);
    assert_int_equal(sp_wait(futures, N, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    for (int i = 0; i < N; i++)
        assert_int_equal(sp_result(futures[i], NULL, SP_NOWAIT), SP_OK);
    test_await(sp__crew_asleep(crew_of_pool()) == N);
    assert_int_equal(count_marked(), 0);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_release_all(futures, N);
    sp_executor_release(pool);
}

static void deep_waits_leave_few_deques(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) top = sp_submit(pool, timed_depth, 200);
    int depth = 0;
    assert_int_equal(sp_result(top, &depth, SP_FOREVER), SP_OK);
    assert_int_equal(depth, 200);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_in_range(sp__pool_of(pool)->deque_count, 1, 40);
    sp_executor_release(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_initializer_waits_for_what_it_submits),
        cmocka_unit_test(a_finalizer_that_waits_has_no_permit_to_give),
        cmocka_unit_test(a_start_that_fails_is_told_to_a_task_that_relied_on_it),
        cmocka_unit_test(a_start_that_fails_for_a_task_is_told_to_another),
        cmocka_unit_test(shutdown_waits_for_a_submit_that_is_about_to_call_a_worker),
        cmocka_unit_test(an_awaited_future_of_a_broken_pool_keeps_its_place),
        cmocka_unit_test(deques_of_sleepers_are_not_looked_at),
        cmocka_unit_test(deep_waits_leave_few_deques),
        cmocka_unit_test(a_pool_is_not_idle_while_its_futures_are_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
