/* Wake-ups of a pool that are easily lost: each test stops workers where one could be.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <dlfcn.h>
#include <errno.h>

#include <spool.h>

#include "conformance/bunch.h"
#include "executor/pool.h"
#include "sync/lock_word.h"

static sp_executor *pool; /* of the test that runs */

static struct sp__pool *inside(void)
{
    return sp__pool_of(pool);
}

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

static void assert_is_done_in_time(sp_future *future)
{
    assert_int_equal(sp_result(future, NULL, 20.0), SP_OK);
    sp_future_release(future);
}

static void end_pool(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* ---- between a worker's last look and its sleep ---- */

static sp_event holder_ends;

static sp_status hold_worker(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    (void)sp_event_wait(&holder_ends, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold_worker, sp_none, sp_none);

/* The pool's only worker has found nothing, and sleeps for the lock under which it lies down.  The caller has that lock. */
static void stop_worker_before_it_lies_down(void)
{
    sp_event_clear(&holder_ends);
    sp_auto(sp_future) holder = sp_submit(pool, hold_worker, SP_NONE);
    test_await(sp_future_running(holder));
    sp_lock_acquire(&inside()->lock);
    sp_event_set(&holder_ends);
    test_await(sp__load_acquire(&inside()->lock.sp_word_) & ~SP__LOCK_ID); /* nobody else wants it */
    assert_int_equal(sp__crew_searching(sp__crew_look(&inside()->crew)), 1);
}

/* Nobody is called for it: there is one who searches. */
static void a_task_that_comes_when_a_worker_is_about_to_lie_down_is_run(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 2);
    stop_worker_before_it_lies_down();
    sp_future *future = sp_submit(pool, pass, 1);
    sp_lock_release(&inside()->lock);
    assert_is_done_in_time(future);
    end_pool();
}

static void shut_down(void *status)
{
    *(sp_status *)status = sp_shutdown(pool);
}

/* The worker comes first and is dismissed, or comes last and looks. */
static void a_shutdown_that_comes_when_a_worker_is_about_to_lie_down_ends_it(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        sp_status status = SP_TIMEOUT;
        struct bunch closer;
        pool = sp_thread_pool(.max_workers = 1);
        stop_worker_before_it_lies_down();
        bunch_start(&closer, 1, shut_down, &status);
        bunch_await_sleep(&closer);
        sp_lock_release(&inside()->lock);
        test_await(bunch_finished(&closer) == 1);
        bunch_join(&closer);
        assert_int_equal(status, SP_OK);
        sp_executor_release(pool);
    }
}

/* ---- what a task submits ---- */

static sp_event child_runs;

static sp_status set_child_runs(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_set(&child_runs);
    return SP_OK;
}
SP_TASK(set_child_runs, sp_none, sp_none);

static sp_status post_and_wait_for_child(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_clear(&child_runs);
    sp_status status = sp_post(pool, set_child_runs, SP_NONE);
    return status != SP_OK || sp_event_wait(&child_runs, 20.0) ? status : SP_TIMEOUT;
}
SP_TASK(post_and_wait_for_child, sp_none, sp_none);

/* Another is started for it, the first time; then it is called. */
static void what_a_task_submits_is_run_by_another_worker(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 2);
    for (int round = 0; round < 5; round++) {
        sp_future *future = sp_submit(pool, post_and_wait_for_child, SP_NONE);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
        sp_future_release(future);
        test_await(sp__crew_asleep(sp__crew_look(&inside()->crew)) == 2);
    }
    end_pool();
}

/* ---- starts of threads, stopped or refused ---- */

static sp_event starter_goes_on;
static uint32_t starts_to_stop, starts_to_refuse; /* atomic: so many of the next */

static bool is_next(uint32_t *starts)
{
    return sp__load_seq_cst(starts) > 0 && sp__sub_seq_cst(starts, 1) > 0;
}

/* Stands before that of the C library.  Stopped: the thread is there, and its starter has not been told. */
int pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes, void *(*body)(void *), void *arg)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
    if (is_next(&starts_to_refuse))
        return EAGAIN;
    bool stops = is_next(&starts_to_stop);
    int error = next(ret_thread, attributes, body, arg);
    if (stops)
        (void)sp_event_wait(&starter_goes_on, SP_FOREVER);
    return error;
}

static void submit_and_be_stopped(void *future)
{
    sp__store_seq_cst(&starts_to_stop, 1);
    *(sp_future **)future = sp_submit(pool, pass, 1);
}

static bool worker_has_ended(void)
{
    SP_HOLD(&inside()->lock);
    return !sp__list_empty(&inside()->ended);
}

static bool shutdown_waits(void)
{
    return sp__load_acquire(&inside()->closed) && sp__park_maybe_waiters(&inside()->quiet);
}

/* It cannot be collected before its handle is known: who waits for that is told. */
static void a_worker_that_ends_before_its_starter_has_its_handle_is_collected(void **state)
{
    (void)state;
    sp_status status = SP_TIMEOUT;
    struct bunch starter, closer;
    sp_future *future = NULL;
    pool = sp_thread_pool(.max_workers = 1);
    sp_event_clear(&starter_goes_on);
    bunch_start(&starter, 1, submit_and_be_stopped, &future);
    test_await(sp__crew_asleep(sp__crew_look(&inside()->crew)) == 1);
    bunch_start(&closer, 1, shut_down, &status);
    test_await(worker_has_ended() && shutdown_waits());
    assert_int_equal(bunch_finished(&closer), 0);
    sp_event_set(&starter_goes_on);
    test_await(bunch_finished(&closer) == 1);
    bunch_join(&starter);
    bunch_join(&closer);
    assert_int_equal(status, SP_OK);
    assert_int_equal(sp_result(future, NULL, SP_NOWAIT), SP_OK);
    sp_future_release(future);
    sp_executor_release(pool);
}

/* ---- submitters that wait for room ---- */

enum { BLOCKED = 3 };

struct submitters {
    struct bunch bunch;
    uint32_t accepted, refused; /* atomic */
};

static void submit_one(void *context)
{
    struct submitters *submitters = context;
    sp_status status = sp_post(pool, pass, 1);
    sp__add_seq_cst(status == SP_OK ? &submitters->accepted : &submitters->refused, 1);
}

static bool all_wait_for_room(unsigned n)
{
    return sp__load_seq_cst(&inside()->without_room) == n && sp__park_maybe_waiters(&inside()->room);
}

/* So many have found no room, and sleep for it. */
static void block(struct submitters *submitters, int n)
{
    *submitters = (struct submitters){ .accepted = 0 };
    bunch_start(&submitters->bunch, n, submit_one, submitters);
    test_await(all_wait_for_room((unsigned)n));
    bunch_await_sleep(&submitters->bunch);
    assert_int_equal(bunch_finished(&submitters->bunch), 0);
}

static void await_submitters(struct submitters *submitters)
{
    test_await(bunch_finished(&submitters->bunch) == (uint32_t)submitters->bunch.n);
    bunch_join(&submitters->bunch);
}

static void all_who_wait_for_room_are_told_of_a_shutdown(void **state)
{
    (void)state;
    struct submitters submitters;
    sp_event_clear(&holder_ends);
    pool = sp_thread_pool(.max_workers = 1, .max_pending = 1);
    sp_future *holder = sp_submit(pool, hold_worker, SP_NONE);
    test_await(sp_future_running(holder));
    sp_future *queued = sp_submit(pool, pass, 1);
    block(&submitters, BLOCKED);
    assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK);
    await_submitters(&submitters); /* while the worker is held */
    assert_int_equal(submitters.refused, BLOCKED);
    sp_event_set(&holder_ends);
    assert_is_done_in_time(holder);
    assert_is_done_in_time(queued);
    end_pool();
}

static sp_future *awaited;
static sp_event waiter_goes_on;

static sp_status wait_for_awaited(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    (void)sp_event_wait(&waiter_goes_on, SP_FOREVER);
    return sp_result(awaited, NULL, SP_FOREVER);
}
SP_TASK(wait_for_awaited, sp_none, sp_none);

/* What a waiting task runs itself has left its queue when it begins. */
static void there_is_room_when_a_task_runs_what_it_waits_for(void **state)
{
    (void)state;
    struct submitters submitters;
    sp_event_clear(&holder_ends);
    sp_event_clear(&waiter_goes_on);
    pool = sp_thread_pool(.max_workers = 1, .max_pending = 1);
    sp_future *waiter = sp_submit(pool, wait_for_awaited, SP_NONE);
    test_await(sp_future_running(waiter));
    awaited = sp_submit(pool, hold_worker, SP_NONE);
    block(&submitters, 1);
    sp_event_set(&waiter_goes_on);
    test_await(sp_future_running(awaited));
    await_submitters(&submitters);
    assert_false(sp_future_done(awaited));
    assert_int_equal(submitters.accepted, 1);
    sp_event_set(&holder_ends);
    assert_is_done_in_time(waiter);
    assert_is_done_in_time(awaited);
    end_pool();
}

static uint32_t begun; /* atomic: initializers */

static sp_status first_waits_for_task(void *arg)
{
    (void)arg;
    if (sp__add_seq_cst(&begun, 1) > 0)
        return SP_OK;
    (void)sp_event_wait(&waiter_goes_on, SP_FOREVER);
    sp__store_seq_cst(&starts_to_refuse, 1);
    return sp_wait(&awaited, 1, SP_FIRST_COMPLETED, SP_FOREVER);
}

/* Nobody can be had to run what an initializer waits for: it fails, and there is room. */
static void there_is_room_when_what_is_queued_has_failed(void **state)
{
    (void)state;
    struct submitters submitters;
    sp__store_seq_cst(&begun, 0);
    sp_event_clear(&waiter_goes_on);
    pool = sp_thread_pool(.max_workers = 2, .max_pending = 1, .initializer = first_waits_for_task);
    awaited = sp_submit(pool, pass, 1);
    block(&submitters, 1);
    sp_event_set(&waiter_goes_on);
    await_submitters(&submitters);
    assert_int_equal(submitters.accepted, 1);
    assert_int_equal(sp__load_seq_cst(&starts_to_refuse), 0);
    assert_int_equal(sp_result(awaited, NULL, SP_NOWAIT), SP_OS_ERROR);
    sp_future_release(awaited);
    end_pool();
}

/* ---- a pool that breaks ---- */

static sp_event fails_now;

static sp_status second_fails(void *arg)
{
    (void)arg;
    if (sp__add_seq_cst(&begun, 1) == 0)
        return SP_OK;
    (void)sp_event_wait(&fails_now, SP_FOREVER);
    return SP_USER_ERROR;
}

static unsigned workers(void)
{
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    return stats.workers;
}

/* Nothing will ever run there: whoever sleeps ends, and not only at the shutdown. */
static void workers_that_sleep_end_when_their_pool_breaks(void **state)
{
    (void)state;
    sp__store_seq_cst(&begun, 0);
    sp_event_clear(&holder_ends);
    sp_event_clear(&fails_now);
    pool = sp_thread_pool(.max_workers = 2, .initializer = second_fails);
    sp_future *holder = sp_submit(pool, hold_worker, SP_NONE);
    test_await(sp_future_running(holder));
    sp_future *other = sp_submit(pool, pass, 1);
    test_await(sp__load_seq_cst(&begun) == 2);
    sp_event_set(&holder_ends);
    assert_is_done_in_time(holder);
    assert_is_done_in_time(other);
    test_await(sp__crew_asleep(sp__crew_look(&inside()->crew)) == 1);
    sp_event_set(&fails_now);
    test_await(workers() == 0);
    end_pool();
}

/* ---- whoever waits until all is done ---- */

static sp_event initializer_begins, initializer_ends;

static sp_status be_slow(void *arg)
{
    (void)arg;
    sp_event_set(&initializer_begins);
    (void)sp_event_wait(&initializer_ends, SP_FOREVER);
    return SP_OK;
}

static void wait_until_idle(void *unused)
{
    (void)unused;
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
}

static void all_who_wait_until_all_is_done_go_on(void **state)
{
    (void)state;
    struct bunch waiters;
    sp_event_clear(&holder_ends);
    pool = sp_thread_pool(.max_workers = 1);
    sp_future *holder = sp_submit(pool, hold_worker, SP_NONE);
    test_await(sp_future_running(holder));
    bunch_start(&waiters, 3, wait_until_idle, NULL);
    bunch_await_sleep(&waiters);
    assert_int_equal(bunch_finished(&waiters), 0);
    sp_event_set(&holder_ends);
    test_await(bunch_finished(&waiters) == 3);
    bunch_join(&waiters);
    assert_is_done_in_time(holder);
    end_pool();
}

static bool somebody_waits_for_quiet(void)
{
    SP_HOLD(&inside()->lock);
    return inside()->workers + inside()->uncollected == 0 && sp__park_maybe_waiters(&inside()->quiet);
}

/* What is cancelled is done, whatever the workers are at. */
static void a_cancellation_wakes_who_waits_until_all_is_done(void **state)
{
    (void)state;
    struct bunch waiter;
    sp_event_clear(&initializer_ends);
    pool = sp_thread_pool(.max_workers = 1, .initializer = be_slow);
    sp_future *future = sp_submit(pool, pass, 1);
    assert_true(sp_event_wait(&initializer_begins, SP_FOREVER));
    bunch_start(&waiter, 1, wait_until_idle, NULL);
    test_await(sp__park_maybe_waiters(&inside()->quiet));
    assert_int_equal(bunch_finished(&waiter), 0);
    assert_true(sp_future_cancel(future));
    test_await(bunch_finished(&waiter) == 1);
    bunch_join(&waiter);
    sp_event_set(&initializer_ends);
    sp_future_release(future);
    end_pool();
}

static sp_event is_cancelling, cancel_goes_on;

static void stop_cancelling(sp_future *future, void *unused)
{
    (void)future, (void)unused;
    sp_event_set(&is_cancelling);
    (void)sp_event_wait(&cancel_goes_on, SP_FOREVER);
}

static void cancel_all(void *unused)
{
    (void)unused;
    assert_int_equal(sp_shutdown(pool, .cancel_futures = true, .no_wait = true), SP_OK);
}

/* The workers have ended, and what is left is another shutdown that cancels. */
static void the_end_of_a_cancelling_shutdown_wakes_another(void **state)
{
    (void)state;
    sp_status status = SP_TIMEOUT;
    struct bunch canceller, closer;
    sp_event_clear(&holder_ends);
    pool = sp_thread_pool(.max_workers = 1);
    sp_future *holder = sp_submit(pool, hold_worker, SP_NONE);
    test_await(sp_future_running(holder));
    sp_future *queued = sp_submit(pool, pass, 1);
    sp_future_add_done_callback(queued, stop_cancelling, NULL);
    bunch_start(&canceller, 1, cancel_all, NULL);
    assert_true(sp_event_wait(&is_cancelling, SP_FOREVER));
    sp_event_set(&holder_ends);
    assert_is_done_in_time(holder);
    bunch_start(&closer, 1, shut_down, &status);
    test_await(somebody_waits_for_quiet());
    assert_int_equal(bunch_finished(&closer), 0);
    sp_event_set(&cancel_goes_on);
    test_await(bunch_finished(&closer) == 1);
    bunch_join(&canceller);
    bunch_join(&closer);
    assert_int_equal(status, SP_OK);
    assert_true(sp_future_cancelled(queued));
    sp_future_release(queued);
    sp_executor_release(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_that_comes_when_a_worker_is_about_to_lie_down_is_run),
        cmocka_unit_test(a_shutdown_that_comes_when_a_worker_is_about_to_lie_down_ends_it),
        cmocka_unit_test(what_a_task_submits_is_run_by_another_worker),
        cmocka_unit_test(a_worker_that_ends_before_its_starter_has_its_handle_is_collected),
        cmocka_unit_test(all_who_wait_for_room_are_told_of_a_shutdown),
        cmocka_unit_test(there_is_room_when_a_task_runs_what_it_waits_for),
        cmocka_unit_test(there_is_room_when_what_is_queued_has_failed),
        cmocka_unit_test(workers_that_sleep_end_when_their_pool_breaks),
        cmocka_unit_test(all_who_wait_until_all_is_done_go_on),
        cmocka_unit_test(a_cancellation_wakes_who_waits_until_all_is_done),
        cmocka_unit_test(the_end_of_a_cancelling_shutdown_wakes_another),
    };
    return cmocka_run_group_tests_name("wake", tests, NULL, NULL);
}
