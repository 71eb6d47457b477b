/* How workers end and what that leaves: pthread_exit in tasks, initializers and finalizers; names, limits and counts.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include <spool.h>

#include "executor/pool.h"
#include "os/os.h"

static sp_executor *pool;   /* of the test that runs */
static uint32_t finalizers; /* atomic: how many have begun */
static sp_event goes_on;

static sp_executor_statistics stats(void)
{
    sp_executor_statistics seen;
    sp_executor_stats(pool, &seen);
    return seen;
}

/* Nothing is left, and everything was counted once. */
static void end_pool(void)
{
    struct sp__pool *inside = sp__pool_of(pool);
    assert_true(sp_executor_wait_idle(pool, 20.0));
    assert_int_equal(stats().submitted, stats().completed);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(stats().workers, 0);
    assert_int_equal(inside->uncollected, 0);
    assert_int_equal(sp__load_relaxed(&inside->starting), 0);
    assert_int_equal(sp__load_relaxed(&inside->crew), 0);
    assert_int_equal(sp__load_relaxed(&inside->parked), 0);
    sp_executor_release(pool);
}

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

static void assert_runs(void)
{
    sp_auto(sp_future) future = sp_submit(pool, pass, 5);
    int value = 0;
    assert_int_equal(sp_result(future, &value, 20.0), SP_OK);
    assert_int_equal(value, 5);
}

static sp_status end_thread(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    pthread_exit(NULL);
}
SP_TASK(end_thread, sp_none, sp_none);

static void count_finalizer(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&finalizers, 1);
}

static void end_thread_in_finalizer(void *arg)
{
    count_finalizer(arg);
    pthread_exit(NULL);
}

/* ---- names ---- */

static sp_status tell_name(const sp_none *in, uint64_t *ret_number)
{
    (void)in;
    char name[64];
    snprintf(name, sizeof name, "%s", sp_thread_name(sp_thread_current()));
    char *dash = strrchr(name, '-');
    if (dash == NULL || strncmp(name, "sp-1-", 5) != 0)
        return sp_raise(SP_VALUE_ERROR, "the worker is called %s", name);
    *ret_number = strtoull(dash + 1, NULL, 10);
    sp_event_wait(&goes_on, SP_FOREVER);
    return SP_OK;
}
SP_TASK(tell_name, sp_none, uint64_t);

/* The first test: no pool was made before. */
static void workers_of_the_first_pool_without_a_name_are_sp_1_0_and_so_on(void **state)
{
    enum { N = 3 };
    (void)state;
    sp_future *futures[N];
    unsigned seen = 0;
    sp_event_clear(&goes_on);
    pool = sp_thread_pool(.max_workers = N);
    for (int i = 0; i < N; i++) {
        futures[i] = sp_submit(pool, tell_name, SP_NONE);
        test_await(sp_future_running(futures[i]) || sp_future_done(futures[i]));
    }
    sp_event_set(&goes_on);
    for (int i = 0; i < N; i++) {
        uint64_t number = 0;
        assert_int_equal(sp_result(futures[i], &number, 20.0), SP_OK);
        seen |= 1u << number;
        sp_future_release(futures[i]);
    }
    assert_int_equal(seen, (1u << N) - 1);
    end_pool();
}

/* ---- options ---- */

static void there_are_no_more_workers_than_can_be_counted(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = UINT_MAX, .max_compensation = UINT_MAX);
    assert_non_null(pool);
    assert_int_equal(sp__pool_of(pool)->max_workers, 1u << 18);
    assert_int_equal(sp__pool_of(pool)->max_compensation, 1u << 18);
    assert_runs();
    end_pool();
}

static void an_option_that_is_not_there_yet_is_refused(void **state)
{
    (void)state;
    errno = 0;
    assert_null(sp_thread_pool(.gil = (sp_gil *)&goes_on));
    assert_int_equal(errno, EINVAL);
}

static sp_status fail_at_once(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_VALUE_ERROR;
}
SP_TASK(fail_at_once, sp_none, sp_none);

static void count_unseen(const sp_error *error, void *context)
{
    *(unsigned *)context += error->status == SP_VALUE_ERROR;
}

static void a_post_tells_nothing_of_what_its_task_did_at_once(void **state)
{
    (void)state;
    unsigned unseen = 0;
    sp_set_unseen_error_hook(count_unseen, &unseen);
    pool = sp_inline_pool();
    assert_int_equal(sp_post(pool, fail_at_once, SP_NONE), SP_OK);
    assert_int_equal(unseen, 1);
    sp_set_unseen_error_hook(NULL, NULL);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* ---- finalizers ---- */

static void a_finalizer_that_ends_its_thread_is_called_once(void **state)
{
    (void)state;
    sp__store_seq_cst(&finalizers, 0);
    pool = sp_thread_pool(.max_workers = 1, .idle_seconds = 0.001, .finalizer = end_thread_in_finalizer);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_runs();
        test_await(stats().workers == 0 && sp__load_seq_cst(&finalizers) == i);
    }
    assert_runs();
    end_pool();
    assert_int_equal(sp__load_seq_cst(&finalizers), 4);
}

static void a_worker_that_is_ended_in_a_task_is_finalized(void **state)
{
    (void)state;
    sp__store_seq_cst(&finalizers, 0);
    pool = sp_thread_pool(.max_workers = 1, .finalizer = count_finalizer);
    for (uint32_t i = 1; i <= 3; i++) {
        sp_auto(sp_future) future = sp_submit(pool, end_thread, SP_NONE);
        assert_int_equal(sp_result(future, NULL, 20.0), SP_RUNTIME_ERROR);
        test_await(sp__load_seq_cst(&finalizers) == i);
    }
    assert_runs();
    end_pool();
    assert_int_equal(sp__load_seq_cst(&finalizers), 4);
}

static sp_future *inner; /* no variable of the task: its frame goes with the thread */

static sp_status wait_for_one_that_ends_the_thread(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    inner = sp_submit(pool, end_thread, SP_NONE);
    return sp_result(inner, NULL, SP_FOREVER);
}
SP_TASK(wait_for_one_that_ends_the_thread, sp_none, sp_none);

static void a_task_on_another_that_ends_the_thread_ends_both(void **state)
{
    (void)state;
    sp__store_seq_cst(&finalizers, 0);
    pool = sp_thread_pool(.max_workers = 1, .finalizer = count_finalizer);
    for (int i = 0; i < 3; i++) {
        sp_auto(sp_future) outer = sp_submit(pool, wait_for_one_that_ends_the_thread, SP_NONE);
        assert_int_equal(sp_result(outer, NULL, 20.0), SP_RUNTIME_ERROR);
        assert_int_equal(sp_result(inner, NULL, SP_NOWAIT), SP_RUNTIME_ERROR);
        sp_future_release(inner);
        assert_runs();
    }
    end_pool();
    assert_int_equal(sp__load_seq_cst(&finalizers), 4);
}

/* ---- initializers ---- */

static sp_status initializer_fails(void *arg)
{
    (void)arg;
    return sp_raise_at("here.c", 77, SP_USER_ERROR, "no key");
}

static sp_status initializer_ends_thread(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

static void assert_is_broken(const char *why, int line)
{
    for (int i = 0; i < 2; i++) {
        sp_auto(sp_future) future = sp_submit(pool, pass, 1);
        assert_int_equal(sp_result(future, NULL, 20.0), SP_BROKEN_POOL);
        assert_non_null(strstr(sp_future_error(future)->message, why));
        assert_int_equal(sp_future_error(future)->line, line);
        assert_int_equal(sp_post(pool, pass, 1), SP_BROKEN_POOL);
    }
    end_pool();
    assert_int_equal(sp__load_seq_cst(&finalizers), 0); /* nothing was initialized */
}

static void a_pool_whose_initializer_fails_says_where_and_finalizes_nothing(void **state)
{
    (void)state;
    sp__store_seq_cst(&finalizers, 0);
    pool = sp_thread_pool(.max_workers = 2, .initializer = initializer_fails, .finalizer = count_finalizer);
    assert_is_broken("no key", 77);
}

static void a_pool_whose_initializer_ends_the_thread_is_broken(void **state)
{
    (void)state;
    sp__store_seq_cst(&finalizers, 0);
    pool = sp_thread_pool(.max_workers = 2, .initializer = initializer_ends_thread, .finalizer = count_finalizer);
    assert_is_broken("ended by pthread_exit", 0);
}

/* ---- threads ---- */

static void no_thread_is_left_when_a_shutdown_returns(void **state)
{
    (void)state;
    unsigned before = sp__os_thread_count();
    for (long i = test_count(100); i > 0; i--) {
        sp_future *futures[3];
        pool = sp_thread_pool(.max_workers = 3);
        for (int k = 0; k < 3; k++)
            futures[k] = sp_submit(pool, pass, k);
        assert_int_equal(sp_wait(futures, 3, SP_ALL_COMPLETED, 20.0), SP_OK);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        assert_int_equal(sp__pool_of(pool)->uncollected, 0);
        test_await(sp__os_thread_count() == before); /* the system counts one that was joined for a moment */
        sp_release_all(futures, 3);
        sp_executor_release(pool);
    }
}

static void threads_that_have_ended_are_collected_by_and_by(void **state)
{
    enum { ROUNDS = 60 };
    (void)state;
    pool = sp_thread_pool(.max_workers = 1, .idle_seconds = 0.001);
    for (int i = 0; i < ROUNDS; i++) {
        assert_runs();
        test_await(stats().workers == 0);
    }
    assert_in_range(sp__pool_of(pool)->uncollected, 0, ROUNDS / 2);
    end_pool();
}

/* ---- quiet ---- */

static sp_event in_callback, callback_may_end;

static void stop_in_callback(sp_future *future, void *context)
{
    (void)future, (void)context;
    sp_event_set(&in_callback);
    sp_event_wait(&callback_may_end, SP_FOREVER);
}

static sp_status hold(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&goes_on, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold, sp_none, sp_none);

static void *cancel_all(void *arg)
{
    (void)arg;
    return sp_shutdown(pool, .cancel_futures = true) == SP_OK ? NULL : &pool;
}

static void a_pool_is_not_idle_while_the_last_one_is_told_of_its_cancellation(void **state)
{
    (void)state;
    sp_event_clear(&goes_on);
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) holder = sp_submit(pool, hold, SP_NONE);
    test_await(sp_future_running(holder));
    sp_auto(sp_future) only = sp_submit(pool, pass, 1);
    sp_future_add_done_callback(only, stop_in_callback, NULL);
    pthread_t canceller = test_thread(cancel_all, NULL);
    assert_true(sp_event_wait(&in_callback, SP_FOREVER));
    sp_event_set(&goes_on);
    assert_int_equal(sp_result(holder, NULL, 20.0), SP_OK);
    test_await(stats().completed == 2);
    assert_false(sp_executor_wait_idle(pool, 0.02));
    sp_event_set(&callback_may_end);
    assert_true(sp_executor_wait_idle(pool, 20.0));
    test_join(canceller);
    sp_executor_release(pool);
}

/* ---- a destructor of a worker that was ended waits for a task of the pool ---- */

static pthread_key_t waits_at_end;
static sp_event may_end_thread, may_run_others;
static sp_future *held_up;
static bool has_submitted; /* atomic; the destructor is about to wait */
static pthread_t ended, ran_in;

static sp_status hold_worker(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&may_run_others, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold_worker, sp_none, sp_none);

static sp_status note_thread(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    ran_in = pthread_self();
    return SP_OK;
}
SP_TASK(note_thread, sp_none, sp_none);

static void wait_in_destructor(void *value)
{
    (void)value;
    test_await(sp_future_running(held_up)); /* by the worker that has come instead: what is queued now stays so */
    sp_auto(sp_future) queued = sp_submit(pool, note_thread);
    __atomic_store_n(&has_submitted, true, __ATOMIC_RELEASE);
    assert_int_equal(sp_result(queued, NULL, SP_FOREVER), SP_OK);
}

static sp_status end_thread_when_told(const sp_none *in, sp_none *out)
{
    ended = pthread_self();
    assert_int_equal(pthread_setspecific(waits_at_end, &ended), 0);
    sp_event_wait(&may_end_thread, SP_FOREVER);
    return end_thread(in, out);
}
SP_TASK(end_thread_when_told, sp_none, sp_none);

/* It is no worker any more, and runs nothing of the pool inside. */
static void what_a_destructor_of_an_ended_worker_waits_for_runs_in_another(void **state)
{
    (void)state;
    assert_int_equal(pthread_key_create(&waits_at_end, wait_in_destructor), 0);
    pool = sp_thread_pool(.max_workers = 1);
    sp_future *ends = sp_submit(pool, end_thread_when_told);
    held_up = sp_submit(pool, hold_worker);
    sp_event_set(&may_end_thread);
    test_await(__atomic_load_n(&has_submitted, __ATOMIC_ACQUIRE));
    sp_event_set(&may_run_others);
    assert_int_equal(sp_result(ends, NULL, SP_FOREVER), SP_RUNTIME_ERROR);
    assert_true(sp_executor_wait_idle(pool, 20.0));
    assert_false(pthread_equal(ran_in, ended));
    sp_future_release(ends);
    sp_future_release(held_up);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    assert_int_equal(pthread_key_delete(waits_at_end), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_of_the_first_pool_without_a_name_are_sp_1_0_and_so_on),
        cmocka_unit_test(there_are_no_more_workers_than_can_be_counted),
        cmocka_unit_test(an_option_that_is_not_there_yet_is_refused),
        cmocka_unit_test(a_post_tells_nothing_of_what_its_task_did_at_once),
        cmocka_unit_test(a_finalizer_that_ends_its_thread_is_called_once),
        cmocka_unit_test(a_worker_that_is_ended_in_a_task_is_finalized),
        cmocka_unit_test(a_task_on_another_that_ends_the_thread_ends_both),
        cmocka_unit_test(a_pool_whose_initializer_fails_says_where_and_finalizes_nothing),
        cmocka_unit_test(a_pool_whose_initializer_ends_the_thread_is_broken),
        cmocka_unit_test(no_thread_is_left_when_a_shutdown_returns),
        cmocka_unit_test(threads_that_have_ended_are_collected_by_and_by),
        cmocka_unit_test(what_a_destructor_of_an_ended_worker_waits_for_runs_in_another),
        cmocka_unit_test(a_pool_is_not_idle_while_the_last_one_is_told_of_its_cancellation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
