/* The edges of a worker's life: what initializers and finalizers may wait for, starts that fail, a shutdown in the middle of
   a submit.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

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

static sp_event holder_ends;

static sp_status wait_until_released(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&holder_ends, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_until_released, sp_none, sp_none);

/* ---- an initializer that waits ---- */

static sp_wait_until awaited_until;
static uint32_t begun, refused;     /* atomic: initializers */
static _Thread_local bool is_ready; /* this worker's initializer is over */
static uint32_t too_early;          /* atomic: tasks that ran in a worker before that */

static sp_status look_whether_ready(const int *in, int *out)
{
    sp__add_seq_cst(&too_early, !is_ready);
    return pass(in, out);
}
SP_TASK(look_whether_ready, int, int);

/* Submit to the own pool, and wait. */
static sp_status wait_for_own_submits(double timeout)
{
    sp_future *futures[3];
    for (int i = 0; i < 3; i++)
        futures[i] = sp_submit(pool, look_whether_ready, i);
    sp_status status = sp_wait(futures, 3, awaited_until, timeout);
    for (int i = 0; i < 3; i++)
        (void)sp_future_error(futures[i]);
    sp_release_all(futures, 3);
    return status;
}

static sp_status first_waits_for_own_submits(void *arg)
{
    (void)arg;
    sp_status status = sp__add_seq_cst(&begun, 1) == 0 ? wait_for_own_submits(SP_FOREVER) : SP_OK;
    is_ready = true;
    return status;
}

static const sp_wait_until ways[] = { SP_ALL_COMPLETED, SP_FIRST_COMPLETED, SP_FIRST_ERROR };

static void an_initializer_waits_for_what_others_run(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        awaited_until = ways[i % 3];
        begun = 0;
        pool = sp_thread_pool(.max_workers = 2 + i / 3, .initializer = first_waits_for_own_submits);
        sp_auto(sp_future) future = sp_submit(pool, look_whether_ready, 5);
        int value = 0;
        assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, 5);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
    }
    assert_int_equal(too_early, 0);
}

static sp_status all_wait_for_own_submits(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&begun, 1);
    sp_status status = wait_for_own_submits(SP_FOREVER);
    sp__add_seq_cst(&refused, status == SP_DEADLOCK);
    return status;
}

/* All workers that there may be are in initializers that wait for what only a worker could run. */
static void initializers_that_all_wait_get_deadlock(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        awaited_until = ways[i % 3];
        begun = refused = 0;
        pool = sp_thread_pool(.max_workers = 1 + i / 3, .initializer = all_wait_for_own_submits);
        sp_auto(sp_future) future = sp_submit(pool, look_whether_ready, 5);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_BROKEN_POOL);
        assert_non_null(strstr(sp_future_error(future)->message, "wait"));
        assert_int_equal(sp_shutdown(pool), SP_OK);
        assert_int_equal(begun, 1 + i / 3);
        assert_int_equal(refused, 1);
        sp_executor_release(pool);
    }
    assert_int_equal(too_early, 0);
}

static sp_status all_wait_for_a_while(void *arg)
{
    (void)arg;
    sp_status status = wait_for_own_submits(0.02);
    is_ready = true;
    return status == SP_TIMEOUT ? SP_OK : status;
}

static void initializers_whose_wait_ends_in_time_go_on(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        awaited_until = ways[i % 3];
        pool = sp_thread_pool(.max_workers = 1 + i / 3, .initializer = all_wait_for_a_while);
        sp_auto(sp_future) future = sp_submit(pool, look_whether_ready, 5);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
    }
    assert_int_equal(too_early, 0);
}

/* ---- slow initializers ---- */

static sp_event slow_one_ends;

static sp_status second_is_slow(void *arg)
{
    (void)arg;
    if (sp__add_seq_cst(&begun, 1) == 1)
        sp_event_wait(&slow_one_ends, SP_FOREVER);
    return SP_OK;
}

static void assert_is_run(int value)
{
    sp_auto(sp_future) future = sp_submit(pool, pass, value);
    int got = 0;
    assert_int_equal(sp_result(future, &got, SP_FOREVER), SP_OK);
    assert_int_equal(got, value);
}

/* One worker is idle, one in its initializer for as long as it takes. */
static void an_idle_worker_is_called_while_another_is_in_its_initializer(void **state)
{
    (void)state;
    begun = 0;
    sp_event_clear(&slow_one_ends);
    sp_event_clear(&holder_ends);
    pool = sp_thread_pool(.max_workers = 2, .initializer = second_is_slow);
    sp_auto(sp_future) holder = sp_submit(pool, wait_until_released);
    test_await(sp_future_running(holder));
    sp_auto(sp_future) other = sp_submit(pool, pass, 1); /* its worker comes too late to run it */
    test_await(sp__load_seq_cst(&begun) == 2);
    sp_event_set(&holder_ends);
    assert_int_equal(sp_result(other, NULL, SP_FOREVER), SP_OK);
    for (int i = 0; i < 100; i++)
        assert_is_run(i); /* never, if it waits for the slow one */
    sp_event_set(&slow_one_ends);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* One worker is busy, one in its initializer: a third is started, as long as there may be one. */
static void a_worker_is_started_beside_one_in_its_initializer(void **state)
{
    (void)state;
    begun = 0;
    sp_event_clear(&slow_one_ends);
    sp_event_clear(&holder_ends);
    pool = sp_thread_pool(.max_workers = 3, .initializer = second_is_slow);
    sp_auto(sp_future) holder = sp_submit(pool, wait_until_released);
    test_await(sp_future_running(holder));
    sp_auto(sp_future) other = sp_submit(pool, pass, 1);
    test_await(sp__load_seq_cst(&begun) == 2);
    assert_is_run(2);
    assert_is_run(3);
    sp_event_set(&slow_one_ends);
    sp_event_set(&holder_ends);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* A task waits, and lends its permit.  The worker that is started in its place is still in its initializer when the wait ends,
   and has no use for the permit. */
static sp_future *child;

static sp_status wait_in_vain(const sp_none *in, sp_status *out)
{
    (void)in;
    child = sp_submit(pool, pass, 6);
    *out = sp_wait(&child, 1, SP_FIRST_COMPLETED, 0.02);
    return SP_OK;
}
SP_TASK(wait_in_vain, sp_none, sp_status);

static void a_worker_in_its_initializer_holds_no_permit(void **state)
{
    (void)state;
    begun = 0;
    sp_event_clear(&slow_one_ends);
    pool = sp_thread_pool(.max_workers = 1, .initializer = second_is_slow);
    sp_auto(sp_future) waiter = sp_submit(pool, wait_in_vain, SP_NONE);
    sp_status inner = SP_OK;
    assert_int_equal(sp_result(waiter, &inner, SP_FOREVER), SP_OK);
    assert_int_equal(inner, SP_TIMEOUT);
    int value = 0;
    assert_int_equal(sp_result(child, &value, SP_FOREVER), SP_OK); /* by the worker that has waited */
    assert_int_equal(value, 6);
    sp_event_set(&slow_one_ends);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_future_release(child);
    sp_executor_release(pool);
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

static sp_future *top_task;

static sp_status wait_for_top(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_wait(&top_task, 1, SP_FIRST_COMPLETED, SP_FOREVER);
}
SP_TASK(wait_for_top, sp_none, sp_none);

static void *submit_wait_for_top(void *arg)
{
    (void)arg;
    sp_auto(sp_future) future = sp_submit(pool, wait_for_top, SP_NONE);
    return sp_result(future, NULL, SP_FOREVER) == SP_OK ? NULL : &pool;
}

static struct sp__pool seen_of_pool(void)
{
    struct sp__pool *of_pool = sp__pool_of(pool), seen;
    sp_lock_acquire(&of_pool->lock);
    seen.lent = of_pool->lent;
    seen.starting = of_pool->starting;
    seen.stuck = of_pool->stuck;
    sp_lock_release(&of_pool->lock);
    return seen;
}

static unsigned lent(void)
{
    return seen_of_pool().lent;
}

/* A submitter starts a worker, but another takes its task, and goes to sleep.  Then the only other task submits one, and goes
   to sleep as well: somebody comes to run it.  Nobody comes. */
static void a_start_that_fails_is_told_to_a_task_that_relied_on_it(void **state)
{
    (void)state;
    sp_event_clear(&holder_ends);
    pool = sp_thread_pool(.max_workers = 3);
    top_task = sp_submit(pool, submit_and_wait, 7);
    sp_auto(sp_future) holder = sp_submit(pool, wait_until_released);
    test_await(sp_future_running(top_task) && sp_future_running(holder) && sp__crew_searching(crew_of_pool()) == 0 &&
               seen_of_pool().starting == 0);
    sp__registry_lock(); /* stops the start in its middle */
    pthread_t submitter = test_thread(submit_wait_for_top, NULL);
    test_await(seen_of_pool().starting == 1);
    sp_event_set(&holder_ends);
    test_await(lent() == 1);
    sp_event_set(&submits_now);
    test_await(lent() == 2 && sp__crew_awake(crew_of_pool()) == 0);
    sp__fault_arm(1, false);
    sp__registry_unlock();
    int status = SP_OK;
    assert_int_equal(sp_result(top_task, &status, SP_FOREVER), SP_OK);
    assert_int_equal(sp__fault_disarm(), 1);
    assert_int_equal(status, SP_OS_ERROR);
    void *wrong;
    assert_int_equal(pthread_join(submitter, &wrong), 0);
    assert_null(wrong);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_future_release(top_task);
    sp_executor_release(pool);
}

static sp_event initializers_end;
static uint32_t initializers_begun; /* atomic */

static sp_status begin_late(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&initializers_begun, 1);
    return sp_event_wait(&initializers_end, (double)test_patience()) ? SP_OK : SP_TIMEOUT;
}

/* A second worker cannot be had while the first is still in its initializer: that one will run the tasks of both. */
static void a_start_that_fails_beside_one_that_lasts_fails_no_task(void **state)
{
    enum { MOST = 50 };
    (void)state;
    sp_future *futures[MOST];
    bool is_refused[MOST] = { false };
    int n = 0, refused_starts = 0;
    pool = sp_thread_pool(.max_workers = 2, .initializer = begin_late);
    futures[n++] = sp_submit(pool, pass, 0);
    test_await(sp__load_seq_cst(&initializers_begun) == 1);
    for (uint64_t call = 1; n < MOST && (call == 1 || is_refused[n - 1]); call++, n++) {
        sp__fault_arm(call, true);
        futures[n] = sp_submit(pool, pass, n);
        is_refused[n] = sp__fault_disarm() > 0;
    }
    assert_in_range(n, 3, MOST - 1);
    sp_event_set(&initializers_end);
    for (int i = 0; i < n; i++) {
        sp_status status = sp_result(futures[i], NULL, SP_FOREVER);
        if (status != SP_OK) /* there was none for the task itself */
            assert_true(status == SP_MEMORY_ERROR && is_refused[i]);
        refused_starts += status == SP_OK && is_refused[i];
    }
    assert_in_range(refused_starts, 1, n);
    sp_release_all(futures, (size_t)n);
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
static uint32_t workers_begun; /* atomic */

static sp_status third_worker_fails(void *arg)
{
    (void)arg;
    if (sp__add_seq_cst(&workers_begun, 1) != 2)
        return SP_OK;
    test_await(lent() == 1);
    return SP_USER_ERROR;
}

/* Between the third child and the second another worker comes and fails the second, for which a task waits. */
static void let_another_worker_go_on(sp_future *future, void *context)
{
    (void)future, (void)context;
    sp_event_set(&holder_ends);
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
    sp_event_clear(&holder_ends);
    pool = sp_thread_pool(.max_workers = 2, .initializer = third_worker_fails);
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
    sp_event_set(&holder_ends);
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
    sp_event_clear(&holder_ends);
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
    sp_auto(sp_future) outer = sp_submit(pool, timed_depth, 200);
    int depth = 0;
    assert_int_equal(sp_result(outer, &depth, SP_FOREVER), SP_OK);
    assert_int_equal(depth, 200);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_in_range(sp__pool_of(pool)->deque_count, 1, sp__pool_of(pool)->most_deques);
    sp_executor_release(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_initializer_waits_for_what_others_run),
        cmocka_unit_test(initializers_that_all_wait_get_deadlock),
        cmocka_unit_test(initializers_whose_wait_ends_in_time_go_on),
        cmocka_unit_test(an_idle_worker_is_called_while_another_is_in_its_initializer),
        cmocka_unit_test(a_worker_is_started_beside_one_in_its_initializer),
        cmocka_unit_test(a_worker_in_its_initializer_holds_no_permit),
        cmocka_unit_test(a_finalizer_that_waits_has_no_permit_to_give),
        cmocka_unit_test(a_start_that_fails_is_told_to_a_task_that_relied_on_it),
        cmocka_unit_test(a_start_that_fails_beside_one_that_lasts_fails_no_task),
        cmocka_unit_test(shutdown_waits_for_a_submit_that_is_about_to_call_a_worker),
        cmocka_unit_test(an_awaited_future_of_a_broken_pool_keeps_its_place),
        cmocka_unit_test(deques_of_sleepers_are_not_looked_at),
        cmocka_unit_test(deep_waits_leave_few_deques),
        cmocka_unit_test(a_pool_is_not_idle_while_its_futures_are_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
