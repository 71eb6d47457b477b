/* Hangs of other pools: what waits for something that was cancelled.

   Each test says which report it comes from and what shape that has.  A pool with the defect waits for ever; the time limit
   of the test ends it then.

   SPDX-License-Identifier: MIT */
#include "conformance/futures.h"

#include "conformance/bunch.h"
#include "os/fault.h"
#include "stress/stress.h"

enum { QUEUED = 3 };
static sp_executor *pool;            /* of the test that runs */
static sp_future *begun;             /* keeps the only worker at the gate */
static sp_future *futures[QUEUED];   /* behind it */
static uint32_t next_way, callbacks; /* atomic */

static void open_pool(void)
{
    gate_close();
    sp__store_release(&callbacks, 0);
    pool = sp_thread_pool(.max_workers = 1);
    begun = sp_submit(pool, pass, 1);
    gate_await(1);
    for (int i = 0; i < QUEUED; i++)
        futures[i] = sp_submit(pool, pass, i);
}

static void close_pool(void)
{
    gate_open();
    assert_int_equal(sp_result(begun, NULL, SP_FOREVER), SP_OK);
    sp_future_release(begun);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    sp_release_all(futures, QUEUED);
    stress_assert_nothing_wrong();
}

/* ---- every way of waiting ---- */

static void count_callback(sp_future *future, void *context)
{
    (void)context;
    stress_expect(sp_future_cancelled(future));
    sp__add_seq_cst(&callbacks, 1);
}

static void take_all(double limit)
{
    sp_auto(sp_completion) set = sp_as_completed(futures, QUEUED, limit);
    int n = 0;
    for (sp_future *future; (future = sp_next(set)) != NULL; n++)
        stress_expect(sp_future_cancelled(future));
    stress_expect(n == QUEUED && sp_completion_status(set) == SP_OK);
}

enum { WAYS = 9 };

static void wait_in_some_way(void *context)
{
    static const sp_wait_until untils[] = { SP_ALL_COMPLETED, SP_FIRST_COMPLETED, SP_FIRST_ERROR };
    (void)context;
    uint32_t way = sp__add_seq_cst(&next_way, 1) % WAYS;
    double limit = way % 2 ? 60.0 : SP_FOREVER;
    if (way < 2)
        stress_expect(sp_result(futures[way], NULL, limit) == SP_CANCELLED);
    else if (way == 2)
        stress_expect(sp_future_wait(futures[0], limit));
    else if (way < 5)
        take_all(limit);
    else if (way < 8)
        stress_expect(sp_wait(futures, QUEUED, untils[way % 3], limit) == SP_OK);
    else
        stress_expect(sp_wait(futures, QUEUED, SP_ALL_COMPLETED, 60.0) == SP_OK);
}

static void cancel_each(void)
{
    for (int i = 0; i < QUEUED; i++)
        assert_true(sp_future_cancel(futures[i]));
}

static void cancel_by_shutdown(void)
{
    assert_int_equal(sp_shutdown(pool, .no_wait = true, .cancel_futures = true), SP_OK);
}

static void all_are_told_at_once(void (*cancel)(void))
{
    struct bunch bunch;
    open_pool();
    sp__store_release(&next_way, 0);
    for (int i = 0; i < QUEUED; i++)
        sp_future_add_done_callback(futures[i], count_callback, NULL);
    bunch_start(&bunch, WAYS, wait_in_some_way, NULL);
    bunch_await_sleep(&bunch);
    cancel();
    bunch_join(&bunch); /* the worker is still at the gate */
    assert_int_equal(gate.passed, 0);
    assert_int_equal(callbacks, QUEUED);
    close_pool();
    assert_int_equal(gate.passed, 1);
}

/* TileDB-Inc/TileDB#578, #1191; CPython's wait and as_completed, which are told of a cancellation only when a worker comes by:
   a cancelled task never runs, and whoever waits in another way than for its result is left waiting. */
static void waiters_of_every_kind_are_told_of_a_cancellation(void **state)
{
    (void)state;
    all_are_told_at_once(cancel_each);
}

/* mpi4py PR 320, and CPython where it has the same defect: the shutdown cancels what is queued and tells nobody. */
static void waiters_of_every_kind_are_told_when_a_shutdown_cancels(void **state)
{
    (void)state;
    all_are_told_at_once(cancel_by_shutdown);
}

/* The same with waits that begin afterwards, while the worker has not met the cancelled ones. */
static void waits_for_what_is_cancelled_already(void **state)
{
    (void)state;
    open_pool();
    cancel_each();
    for (sp__store_release(&next_way, 0); next_way < WAYS;)
        wait_in_some_way(NULL);
    close_pool();
}

/* ---- the pool's own books ---- */

/* TileDB-Inc/TileDB#1191, openvstorage/volumedriver#298: what never ran is never counted as done. */
static void cancelled_work_is_no_work(void **state)
{
    (void)state;
    for (long round = test_count(100); round > 0; round--) {
        open_pool();
        cancel_each();
        gate_open();
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        assert_int_equal(gate.passed, 1);
        close_pool();
    }
}

static void *submit_one(void *arg)
{
    sp_auto(sp_future) future = sp_submit(pool, mul, 6, 7);
    stress_expect(sp_result(future, NULL, SP_FOREVER) == SP_OK);
    return arg;
}

/* Pithikos/C-Thread-Pool#114: what is cancelled takes up room, and who waits for room is not told when it goes. */
static void there_is_room_where_the_cancelled_were(void **state)
{
    (void)state;
    for (long round = test_count(50); round > 0; round--) {
        gate_close();
        pool = sp_thread_pool(.max_workers = 1, .max_pending = 1);
        begun = sp_submit(pool, pass, 1);
        gate_await(1);
        sp_future *queued = sp_submit(pool, pass, 2);
        pthread_t submitter = test_thread(submit_one, NULL);
        assert_true(sp_future_cancel(queued));
        gate_open();
        test_join(submitter);
        sp_future_release(queued);
        sp_future_release(begun);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
        stress_assert_nothing_wrong();
    }
}

/* ---- cancelled while a task of the pool waits for it ---- */

static sp_future *children[QUEUED];
static sp_event submitted;

static sp_status wait_for_children(const int *in, int *out)
{
    sp_status status = SP_OK;
    for (int i = 0; i < QUEUED; i++)
        children[i] = sp_submit(pool, mul, i, i);
    sp_event_set(&submitted);
    if (*in < 2) {
        for (int i = 0; i < QUEUED; i++) {
            status = sp_result(children[i], NULL, *in == 0 ? SP_FOREVER : 60.0);
            stress_expect(status == SP_OK || status == SP_CANCELLED);
        }
    } else if (*in == 2) {
        sp_auto(sp_completion) set = sp_as_completed(children, QUEUED, SP_FOREVER);
        while (sp_next(set) != NULL)
            continue;
        stress_expect(sp_completion_status(set) == SP_OK);
    } else {
        stress_expect(sp_wait(children, QUEUED, *in == 3 ? SP_ALL_COMPLETED : SP_FIRST_ERROR, SP_FOREVER) == SP_OK);
    }
    *out = 1;
    return SP_OK;
}
SP_TASK(wait_for_children, int, int);

/* bshoshany/thread-pool#95 with TileDB-Inc/TileDB#578: a worker waits for, or is about to run, what is being cancelled. */
static void a_worker_waits_for_what_is_cancelled_meanwhile(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    sp__fault_spurious(random, 50);
    for (long round = test_count(300); round > 0; round--) {
        sp_event_clear(&submitted);
        pool = sp_thread_pool(.max_workers = 1 + (unsigned)round % 2);
        sp_auto(sp_future) parent = sp_submit(pool, wait_for_children, (int)(round % 5));
        sp_event_wait(&submitted, SP_FOREVER);
        stress_linger(test_random(&random) % 3000);
        for (int i = 0; i < QUEUED; i++)
            (void)sp_future_cancel(children[i]);
        assert_int_equal(sp_result(parent, NULL, SP_FOREVER), SP_OK);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        for (int i = 0; i < QUEUED; i++)
            assert_true(sp_future_done(children[i]));
        sp_release_all(children, QUEUED);
        sp_executor_release(pool);
        stress_assert_nothing_wrong();
    }
    sp__fault_spurious(0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiters_of_every_kind_are_told_of_a_cancellation),
        cmocka_unit_test(waiters_of_every_kind_are_told_when_a_shutdown_cancels),
        cmocka_unit_test(waits_for_what_is_cancelled_already),
        cmocka_unit_test(cancelled_work_is_no_work),
        cmocka_unit_test(there_is_room_where_the_cancelled_were),
        cmocka_unit_test(a_worker_waits_for_what_is_cancelled_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
