/* The thread pool: what is accepted ends exactly once, whatever happens around it.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "executor/pool.h"
#include "os/fault.h"
#include "park/park.h"

/* A gate that tasks wait at, so that tests decide when they go on. */
struct gate {
    sp_event open;
    uint32_t inside, peak, passed; /* atomic */
};
static struct gate gate;

static void reset_gate(void)
{
    memset(&gate, 0, sizeof gate);
}

static sp_status pass(const int *in, int *out)
{
    uint32_t now = sp__add_seq_cst(&gate.inside, 1) + 1, peak = sp__load_relaxed(&gate.peak);
    while (now > peak && !sp__cas_relaxed(&gate.peak, &peak, now))
        continue;
    sp_event_wait(&gate.open, SP_FOREVER);
    sp__sub_seq_cst(&gate.inside, 1);
    sp__add_seq_cst(&gate.passed, 1);
    *out = *in * 2;
    return SP_OK;
}
SP_TASK(pass, int, int);

static int square(int x)
{
    return x * x;
}
SP_FUNCTION(square, int, int);

static sp_status dislike(const int *in, int *out)
{
    (void)out;
    return sp_raise(SP_VALUE_ERROR, "I don't like %d", *in);
}
SP_TASK(dislike, int, int);

static sp_status name_of_thread(const sp_none *in, uint64_t *out)
{
    (void)in;
    char name[32] = "";
    FILE *file = fopen("/proc/thread-self/comm", "re");
    if (file == NULL || fgets(name, sizeof name, file) == NULL)
        return sp_raise_errno("comm");
    fclose(file);
    name[strcspn(name, "\n")] = '\0';
    *out = 1;
    return strcmp(name, "poll-0") == 0 ? SP_OK : sp_raise(SP_RUNTIME_ERROR, "%s", name);
}
SP_TASK(name_of_thread, sp_none, uint64_t);

/* ---- submit ---- */

static void results_and_errors_come_back(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2);
    sp_auto(sp_future) good = sp_submit(pool, square, 7);
    sp_auto(sp_future) bad = sp_submit(pool, dislike, 2);
    int value = 0;
    assert_int_equal(sp_result(good, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 49);
    assert_int_equal(sp_result(good, &value, SP_NOWAIT), SP_OK); /* any number of times */
    assert_int_equal(sp_result(bad, &value, SP_FOREVER), SP_VALUE_ERROR);
    assert_int_equal(value, 49);
    const sp_error *error = sp_future_error(bad);
    assert_string_equal(error->message, "I don't like 2");
    assert_string_equal(error->task, "dislike");
    assert_int_equal(error->status, SP_VALUE_ERROR);
    assert_true(error->line > 0);
    assert_null(sp_future_error(good));
    assert_int_equal(*(const int *)sp_future_arg(bad), 2);
}

static void max_workers_bounds_what_runs(void **state)
{
    (void)state;
    enum { N = 20 };
    reset_gate();
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 3);
    sp_future *futures[N];
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, pass, i);
    test_await(sp__load_acquire(&gate.inside) == 3);
    sp_event_set(&gate.open);
    assert_int_equal(sp_wait(futures, N, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    assert_int_equal(gate.peak, 3);
    sp_release_all(futures, N);
}

static void idle_workers_are_used_first(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 8);
    for (int i = 0; i < 50; i++) {
        sp_auto(sp_future) future = sp_submit(pool, square, i);
        int value;
        assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    }
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    assert_true(stats.workers <= 2); /* a worker that has answered may not yet be asleep when the next submit comes */
    assert_int_equal(stats.submitted, 50);
    assert_int_equal(stats.completed, 50);
}

static void workers_are_named(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1, .thread_name_prefix = "poll");
    sp_auto(sp_future) future = sp_submit(pool, name_of_thread);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
}

static sp_status blocked_signals(const sp_none *in, int *out)
{
    (void)in;
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    *out = sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM) && !sigismember(&mask, SIGSEGV);
    return SP_OK;
}
SP_TASK(blocked_signals, sp_none, int);

static void workers_block_signals(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, blocked_signals);
    int blocked = 0;
    assert_int_equal(sp_result(future, &blocked, SP_FOREVER), SP_OK);
    assert_true(blocked);
}

static void submit_to_null_is_a_failed_future_memory_error(void **state)
{
    (void)state;
    sp_executor *none = NULL;
    sp_auto(sp_future) future = sp_submit(none, square, 7);
    int value;
    assert_int_equal(sp_result(future, &value, SP_NOWAIT), SP_MEMORY_ERROR);
    assert_int_equal(sp_post(none, square, 7), SP_MEMORY_ERROR);
    assert_int_equal(sp_shutdown(none), SP_OK);
    sp_executor_release(none);
}

static void submit_after_shutdown_is_shut_down(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool();
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_auto(sp_future) future = sp_submit(pool, square, 7);
    assert_true(sp_future_done(future));
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_SHUT_DOWN);
    assert_non_null(sp_future_error(future));
    assert_int_equal(sp_post(pool, square, 7), SP_SHUT_DOWN);
}

/* ---- cancel ---- */

static sp_status until_cancelled(const sp_none *in, int *out)
{
    (void)in;
    sp__add_seq_cst(&gate.inside, 1);
    while (!sp_cancel_requested())
        sched_yield();
    *out = 1;
    return SP_OK;
}
SP_TASK(until_cancelled, sp_none, int);

static void cancel_of_queued_work_never_runs_and_tells_waiters(void **state)
{
    (void)state;
    reset_gate();
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) first = sp_submit(pool, pass, 1);
    sp_auto(sp_future) second = sp_submit(pool, pass, 2);
    assert_true(sp_future_cancel(second));
    assert_true(sp_future_cancel(second));
    assert_true(sp_future_cancelled(second));
    assert_int_equal(sp_result(second, NULL, SP_FOREVER), SP_CANCELLED);
    assert_int_equal(sp_future_error(second)->status, SP_CANCELLED);
    sp_event_set(&gate.open);
    assert_int_equal(sp_result(first, NULL, SP_FOREVER), SP_OK);
    assert_false(sp_future_cancel(first));
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    assert_int_equal(gate.passed, 1);
}

static void cancel_of_running_work_is_a_request(void **state)
{
    (void)state;
    reset_gate();
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, until_cancelled);
    test_await(sp__load_acquire(&gate.inside) == 1);
    assert_true(sp_future_running(future));
    assert_false(sp_future_cancel(future));
    int value = 0;
    assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 1);
    assert_false(sp_cancel_requested());
}

/* ---- bounds ---- */

struct submitter {
    sp_executor *pool;
    sp_future *future;
    uint32_t done; /* atomic */
};

static void *submit_one(void *arg)
{
    struct submitter *submitter = arg;
    submitter->future = sp_submit(submitter->pool, pass, 9);
    sp__store_release(&submitter->done, 1);
    return NULL;
}

/* Somebody has found no room, and sleeps for it. */
static void await_blocked_submitter(sp_executor *pool)
{
    test_await(sp__park_maybe_waiters(&sp__pool_of(pool)->room));
}

/* So many are queued as it says, and not one more. */
static void max_pending_blocks_submit_until_there_is_room(void **state)
{
    (void)state;
    enum { MOST = 4 };
    for (int bound = 1; bound <= MOST; bound++) {
        reset_gate();
        sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1, .max_pending = (size_t)bound);
        sp_auto(sp_future) running = sp_submit(pool, pass, 1);
        sp_future *queued[MOST];
        test_await(sp__load_acquire(&gate.inside) == 1);
        for (int i = 0; i < bound; i++)
            queued[i] = sp_submit(pool, pass, 2);
        struct submitter submitter = { .pool = pool };
        pthread_t thread = test_thread(submit_one, &submitter);
        await_blocked_submitter(pool);
        assert_false(sp__load_acquire(&submitter.done));
        sp_event_set(&gate.open);
        test_join(thread);
        assert_int_equal(sp_result(submitter.future, NULL, SP_FOREVER), SP_OK);
        sp_future_release(submitter.future);
        sp_release_all(queued, (size_t)bound);
    }
}

static void shutdown_wakes_a_blocked_submitter_with_shut_down(void **state)
{
    (void)state;
    reset_gate();
    sp_executor *pool = sp_thread_pool(.max_workers = 1, .max_pending = 1);
    sp_auto(sp_future) running = sp_submit(pool, pass, 1);
    test_await(sp__load_acquire(&gate.inside) == 1);
    sp_auto(sp_future) queued = sp_submit(pool, pass, 2);
    struct submitter submitter = { .pool = pool };
    pthread_t thread = test_thread(submit_one, &submitter);
    await_blocked_submitter(pool);
    assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK);
    test_join(thread);
    assert_int_equal(sp_result(submitter.future, NULL, SP_NOWAIT), SP_SHUT_DOWN);
    sp_event_set(&gate.open);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(sp_result(queued, NULL, SP_NOWAIT), SP_OK);
    sp_future_release(submitter.future);
    sp_executor_release(pool);
}

static void idle_seconds_ends_idle_workers(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2, .idle_seconds = 0.01);
    sp_executor_statistics stats;
    for (int i = 0; i < 5; i++) {
        sp_auto(sp_future) future = sp_submit(pool, square, i);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
        test_await((sp_executor_stats(pool, &stats), stats.workers == 0));
    }
}

/* ---- initializer ---- */

static sp_status refuse(void *arg)
{
    (void)arg;
    return sp_raise(SP_OS_ERROR, "no licence");
}

static void initializer_failure_breaks_the_pool_broken_pool(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2, .initializer = refuse);
    sp_auto(sp_future) first = sp_submit(pool, square, 1);
    assert_int_equal(sp_result(first, NULL, SP_FOREVER), SP_BROKEN_POOL);
    assert_non_null(strstr(sp_future_error(first)->message, "no licence"));
    sp_auto(sp_future) later = sp_submit(pool, square, 1);
    assert_int_equal(sp_result(later, NULL, SP_FOREVER), SP_BROKEN_POOL);
    assert_non_null(strstr(sp_future_error(later)->message, "no licence"));
    assert_int_equal(sp_post(pool, square, 2), SP_BROKEN_POOL);
}

static uint32_t begun, ended; /* atomic */

static sp_status begin(void *arg)
{
    assert_ptr_equal(arg, &gate);
    sp__add_seq_cst(&begun, 1);
    return SP_OK;
}

static void finish(void *arg)
{
    assert_ptr_equal(arg, &gate);
    sp__add_seq_cst(&ended, 1);
}

static void initializer_and_finalizer_run_once_a_worker(void **state)
{
    (void)state;
    reset_gate();
    sp_executor *pool = sp_thread_pool(.max_workers = 3, .initializer = begin, .initializer_arg = &gate,
                                       .finalizer = finish);
    sp_future *futures[3];
    for (int i = 0; i < 3; i++)
        futures[i] = sp_submit(pool, pass, i);
    test_await(sp__load_acquire(&gate.inside) == 3);
    sp_event_set(&gate.open);
    sp_release_all(futures, 3);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    assert_int_equal(begun, 3);
    assert_int_equal(ended, 3);
}

/* ---- shutdown ---- */

static void shutdown_drains(void **state)
{
    (void)state;
    enum { N = 200 };
    sp_executor *pool = sp_thread_pool(.max_workers = 2);
    sp_future *futures[N];
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, square, i);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    for (int i = 0; i < N; i++) {
        int value;
        assert_int_equal(sp_result(futures[i], &value, SP_NOWAIT), SP_OK);
        assert_int_equal(value, i * i);
    }
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_release_all(futures, N);
    sp_executor_release(pool);
}

static void shutdown_cancel_futures_tells_every_waiter(void **state)
{
    (void)state;
    reset_gate();
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    sp_future *futures[3] = { sp_submit(pool, pass, 1), sp_submit(pool, pass, 2), sp_submit(pool, pass, 3) };
    test_await(sp__load_acquire(&gate.inside) == 1);
    assert_int_equal(sp_shutdown(pool, .no_wait = true, .cancel_futures = true), SP_OK);
    assert_int_equal(sp_result(futures[1], NULL, SP_FOREVER), SP_CANCELLED);
    assert_int_equal(sp_result(futures[2], NULL, SP_FOREVER), SP_CANCELLED);
    sp_event_set(&gate.open);
    assert_int_equal(sp_result(futures[0], NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_release_all(futures, 3);
    sp_executor_release(pool);
}

static sp_status shut_down_own(sp_executor *const *in, sp_status *out)
{
    *out = sp_shutdown(*in);
    return sp_executor_wait_idle(*in, SP_FOREVER) ? SP_RUNTIME_ERROR : SP_OK;
}
typedef sp_executor *executor_pointer;
SP_TASK(shut_down_own, executor_pointer, sp_status);

static void shutdown_from_its_own_task_is_deadlock_and_closes(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, shut_down_own, pool);
    sp_status inner = SP_OK;
    assert_int_equal(sp_result(future, &inner, SP_FOREVER), SP_OK);
    assert_int_equal(inner, SP_DEADLOCK);
    assert_int_equal(sp_post(pool, square, 2), SP_SHUT_DOWN);
}

static void *shut_down(void *arg)
{
    assert_int_equal(sp_executor_shutdown(arg, NULL), SP_OK);
    return NULL;
}

static void shutdown_from_several_threads(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--) {
        sp_executor *pool = sp_thread_pool(.max_workers = 3);
        for (int k = 0; k < 5; k++)
            assert_int_equal(sp_post(pool, square, k), SP_OK);
        pthread_t threads[3];
        for (int k = 0; k < 3; k++)
            threads[k] = test_thread(shut_down, pool);
        for (int k = 0; k < 3; k++)
            test_join(threads[k]);
        sp_executor_statistics stats;
        sp_executor_stats(pool, &stats);
        assert_int_equal(stats.completed, 5);
        assert_int_equal(stats.workers, 0);
        sp_executor_release(pool);
    }
}

static void release_without_shutdown_drains(void **state)
{
    (void)state;
    reset_gate();
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    sp_future *futures[2] = { sp_submit(pool, pass, 1), sp_submit(pool, pass, 2) };
    sp_executor_release(pool);
    sp_event_set(&gate.open);
    assert_int_equal(sp_wait(futures, 2, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    sp_release_all(futures, 2);
}

/* ---- submit against shutdown: each future ends exactly once ---- */

struct race {
    sp_executor *pool;
    uint32_t accepted, refused; /* atomic */
};

static void *submit_many(void *arg)
{
    struct race *race = arg;
    for (;;) {
        sp_auto(sp_future) future = sp_submit(race->pool, square, 3);
        int value = 0;
        sp_status status = sp_result(future, &value, SP_FOREVER);
        if (status == SP_OK && value == 9) {
            sp__add_seq_cst(&race->accepted, 1);
            continue;
        }
        assert_true(status == SP_SHUT_DOWN || status == SP_CANCELLED);
        sp__add_seq_cst(&race->refused, 1);
        return NULL;
    }
}

static void submit_against_shutdown_loses_nothing(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    sp__fault_spurious(random, 50);
    for (long i = test_count(200); i > 0; i--) {
        struct race race = { .pool = sp_thread_pool(.max_workers = 2) };
        pthread_t threads[3];
        for (int k = 0; k < 3; k++)
            threads[k] = test_thread(submit_many, &race);
        for (uint64_t spin = test_random(&random) % 20000; spin > 0; spin--)
            sp__cpu_relax();
        assert_int_equal(sp_shutdown(race.pool, .cancel_futures = test_random(&random) % 2), SP_OK);
        for (int k = 0; k < 3; k++)
            test_join(threads[k]);
        assert_int_equal(race.refused, 3);
        sp_executor_release(race.pool);
    }
    sp__fault_spurious(0, 0);
}

/* ---- failures ---- */

static void one_round(void)
{
    enum { N = 4 };
    sp_executor *pool = sp_thread_pool(.max_workers = 2);
    sp_future *futures[N];
    for (int i = 0; i < N; i++)
        futures[i] = i % 2 ? sp_submit(pool, dislike, i) : sp_submit(pool, square, i);
    (void)!sp_wait(futures, N, SP_FIRST_COMPLETED, SP_FOREVER);
    sp_completion *set = sp_as_completed(futures, N, SP_FOREVER);
    for (sp_future *future; (future = sp_next(set)) != NULL;)
        assert_true(sp_future_done(future));
    sp_completion_release(set);
    for (int i = 0; i < N; i++) {
        int value;
        sp_status status = sp_result(futures[i], &value, SP_FOREVER);
        assert_true(status == SP_OK || status == SP_VALUE_ERROR || status == SP_MEMORY_ERROR || status == SP_OS_ERROR);
        assert_true(status == SP_OK || sp_future_error(futures[i]) != NULL);
    }
    int inputs[5] = { 1, 2, 3, 4, 5 }, outputs[5] = { 0 };
    sp_status status = sp_map(pool, square, inputs, outputs, 5, .chunksize = 2);
    assert_true(status == SP_OK ? outputs[4] == 25 : outputs[0] == 0);
    sp_release_all(futures, N);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static void fail_each_call(bool for_ever)
{
    one_round(); /* what is made once in a process is made */
    for (uint64_t call = 1;; call++) {
        sp__fault_arm(call, for_ever);
        one_round();
        if (sp__fault_disarm() == 0)
            break;
        assert_true(call < 10000);
    }
}

static void every_call_may_fail_once(void **state)
{
    (void)state;
    fail_each_call(false);
}

static void every_call_may_fail_for_ever(void **state)
{
    (void)state;
    fail_each_call(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_and_errors_come_back),
        cmocka_unit_test(max_workers_bounds_what_runs),
        cmocka_unit_test(idle_workers_are_used_first),
        cmocka_unit_test(workers_are_named),
        cmocka_unit_test(workers_block_signals),
        cmocka_unit_test(submit_to_null_is_a_failed_future_memory_error),
        cmocka_unit_test(submit_after_shutdown_is_shut_down),
        cmocka_unit_test(cancel_of_queued_work_never_runs_and_tells_waiters),
        cmocka_unit_test(cancel_of_running_work_is_a_request),
        cmocka_unit_test(max_pending_blocks_submit_until_there_is_room),
        cmocka_unit_test(shutdown_wakes_a_blocked_submitter_with_shut_down),
        cmocka_unit_test(idle_seconds_ends_idle_workers),
        cmocka_unit_test(initializer_failure_breaks_the_pool_broken_pool),
        cmocka_unit_test(initializer_and_finalizer_run_once_a_worker),
        cmocka_unit_test(shutdown_drains),
        cmocka_unit_test(shutdown_cancel_futures_tells_every_waiter),
        cmocka_unit_test(shutdown_from_its_own_task_is_deadlock_and_closes),
        cmocka_unit_test(shutdown_from_several_threads),
        cmocka_unit_test(release_without_shutdown_drains),
        cmocka_unit_test(submit_against_shutdown_loses_nothing),
        cmocka_unit_test(every_call_may_fail_once),
        cmocka_unit_test(every_call_may_fail_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
