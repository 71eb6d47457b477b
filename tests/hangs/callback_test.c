/* Hangs of other pools: callbacks that call back.

   Each test says which report it comes from and what shape that has.  A pool that calls while it holds something of its own,
   or that counts on a worker which is in a callback, waits for ever; the time limit of the test ends it then.

   SPDX-License-Identifier: MIT */
#include "conformance/futures.h"

#include "os/fault.h"
#include "stress/stress.h"

static sp_executor *pool;   /* of the test that runs */
static uint32_t called;     /* atomic */
static uint32_t late_calls; /* atomic */

static void count_late(sp_future *future, void *context)
{
    (void)context;
    stress_expect(sp_future_done(future));
    sp__add_seq_cst(&late_calls, 1);
}

/* ---- a callback asks everything of its own future ---- */

static void ask_everything(sp_future *future, void *context)
{
    const sp_status *expected = context;
    static const sp_wait_until untils[] = { SP_ALL_COMPLETED, SP_FIRST_COMPLETED, SP_FIRST_ERROR };
    stress_expect(sp_result(future, NULL, SP_FOREVER) == *expected);
    stress_expect(sp_future_wait(future, 60.0));
    for (int i = 0; i < 3; i++)
        stress_expect(sp_wait(&future, 1, untils[i], SP_FOREVER) == SP_OK);
    sp_auto(sp_completion) set = sp_as_completed(&future, 1, SP_FOREVER);
    stress_expect(sp_next(set) == future);
    stress_expect(sp_next(set) == NULL);
    stress_expect(sp_future_cancel(future) == (*expected == SP_CANCELLED));
    sp_future_add_done_callback(future, count_late, NULL);
    stress_expect((sp_future_error(future) == NULL) == (*expected == SP_OK));
    sp_future_release(sp_future_retain(future));
    sp__add_seq_cst(&called, 1);
}

static sp_status expect_ok = SP_OK, expect_cancelled = SP_CANCELLED;

static void reset(unsigned workers)
{
    gate_close();
    sp__store_release(&called, 0);
    sp__store_release(&late_calls, 0);
    pool = workers > 0 ? sp_thread_pool(.max_workers = workers) : NULL;
}

static void end_pool(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    stress_assert_nothing_wrong();
}

/* samtools/htslib#831 in futures; CPython calls back without its lock for this reason: whoever ends a future calls back while
   it holds the future's lock, and the callback asks the future. */
static void a_callback_asks_its_own_future(void **state)
{
    (void)state;
    reset(1);
    sp_future *futures[] = { pending_future(), pending_future(), sp_submit(pool, pass, 1), sp_submit(pool, pass, 1),
                             sp_submit(pool, pass, 1) };
    gate_await(1);
    for (int i = 0; i < 5; i++)
        sp_future_add_done_callback(futures[i], ask_everything, i % 2 || i == 4 ? &expect_cancelled : &expect_ok);
    end_with(futures[0], 1);                   /* by who sets the result */
    assert_true(sp_future_cancel(futures[1])); /* by who cancels */
    assert_true(sp_future_cancel(futures[3]));
    assert_int_equal(sp_shutdown(pool, .no_wait = true, .cancel_futures = true), SP_OK); /* by the shutdown */
    assert_int_equal(called, 4);
    gate_open(); /* by the worker */
    end_pool();
    assert_int_equal(called, 5);
    assert_int_equal(late_calls, 5);
    sp_release_all(futures, 5);
}

/* ---- a callback waits ---- */

typedef enum way { RESULT, RESULT_TIMED, AS_COMPLETED, MAP, WAYS } way;

static sp_future *behind; /* queued when the callback is called */

static void wait_for_the_one_behind(sp_future *future, void *context)
{
    way how = *(const way *)context;
    struct factors inputs[2] = { { 6, 7 }, { 6, 7 } };
    int value = 0, outputs[2] = { 0 };
    (void)future;
    if (how == MAP) {
        stress_expect(sp_map(pool, mul, inputs, outputs, 2) == SP_OK);
        value = outputs[1];
    } else if (how == AS_COMPLETED) {
        sp_auto(sp_completion) set = sp_as_completed(&behind, 1, SP_FOREVER);
        stress_expect(sp_next(set) == behind);
        stress_expect(sp_result(behind, &value, SP_NOWAIT) == SP_OK);
    } else {
        stress_expect(sp_result(behind, &value, how == RESULT ? SP_FOREVER : 60.0) == SP_OK);
    }
    stress_expect(value == 42);
    sp__add_seq_cst(&called, 1);
}

/* bshoshany/thread-pool#95 in a callback, mpi4py#226: the worker that calls back is the only one, and the callback waits for
   what is queued behind, or submits and waits. */
static void a_callback_waits_for_its_own_pool(void **state)
{
    (void)state;
    for (way how = RESULT; how < WAYS; how++) {
        reset(1);
        sp_future *first = sp_submit(pool, pass, 1);
        behind = sp_submit(pool, mul, 6, 7);
        sp_future_add_done_callback(first, wait_for_the_one_behind, &how);
        gate_open();
        test_await(sp__load_acquire(&called) == 1);
        assert_int_equal(sp_result(behind, NULL, SP_FOREVER), SP_OK);
        sp_future_release(first);
        end_pool();
        sp_future_release(behind);
    }
}

/* ---- a callback touches other futures ---- */

enum { SIBLINGS = 40 };
static sp_future *siblings[SIBLINGS];

static void cancel_the_siblings(sp_future *future, void *context)
{
    (void)context;
    for (int i = 0; i < SIBLINGS; i++)
        if (siblings[i] != future)
            (void)sp_future_cancel(siblings[i]);
    sp__add_seq_cst(&called, 1);
}

/* taskflow/taskflow#545, TileDB-Inc/TileDB#578: the first end cancels all others, and each of those does the same. */
static void each_end_cancels_all_others(void **state)
{
    (void)state;
    for (long round = test_count(50); round > 0; round--) {
        reset(2);
        for (int i = 0; i < SIBLINGS; i++)
            siblings[i] = sp_submit(pool, pass, i);
        for (int i = 0; i < SIBLINGS; i++)
            sp_future_add_done_callback(siblings[i], cancel_the_siblings, NULL);
        gate_open();
        assert_int_equal(sp_wait(siblings, SIBLINGS, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
        test_await(sp__load_acquire(&called) == SIBLINGS); /* waiters may be told before callbacks are called */
        end_pool();
        sp_release_all(siblings, SIBLINGS);
    }
}

static sp_future *couple[2];

static void touch_the_other(sp_future *future, void *context)
{
    sp_future *other = *(sp_future **)context;
    sp_future_add_done_callback(other, count_late, NULL);
    (void)sp_future_cancel(other);
    stress_expect(sp_future_wait(other, SP_FOREVER));
    sp_auto(sp_completion) set = sp_as_completed(couple, 2, SP_FOREVER);
    stress_expect(sp_next(set) != NULL && sp_next(set) != NULL);
    stress_expect(sp_future_done(future));
    sp__add_seq_cst(&called, 1);
}

static void *end_the_first(void *arg)
{
    sp_event_wait(&gate.open, SP_FOREVER);
    (void)!sp_future_set_result(couple[0], &(int){ 1 }, sizeof(int));
    return arg;
}

/* mpi4py/mpi4py#15, and the lock order of any pool that calls back under a lock: two futures end at the same time, and each
   callback asks the other future. */
static void two_that_end_at_once_ask_each_other(void **state)
{
    (void)state;
    for (long round = test_count(300); round > 0; round--) {
        reset(0);
        for (int i = 0; i < 2; i++)
            couple[i] = pending_future();
        for (int i = 0; i < 2; i++)
            sp_future_add_done_callback(couple[i], touch_the_other, &couple[1 - i]);
        pthread_t thread = test_thread(end_the_first, NULL);
        gate_open();
        (void)!sp_future_set_result(couple[1], &(int){ 1 }, sizeof(int));
        test_join(thread);
        assert_int_equal(called, 2);
        assert_int_equal(late_calls, 2);
        sp_release_all(couple, 2);
        stress_assert_nothing_wrong();
    }
}

enum { CHAIN = 500 };
static sp_future *chain[CHAIN];

static void end_the_next(sp_future *future, void *context)
{
    sp_future **next = context;
    (void)future;
    sp__add_seq_cst(&called, 1);
    if (next < chain + CHAIN)
        stress_expect(sp_future_set_result(*next, &(int){ 1 }, sizeof(int)) == SP_OK);
}

/* samtools/htslib#465: each end ends the next one, all the way, and the waiter at the other end is told. */
static void a_chain_of_ends(void **state)
{
    (void)state;
    reset(0);
    for (int i = 0; i < CHAIN; i++) {
        chain[i] = pending_future();
        sp_future_add_done_callback(chain[i], end_the_next, &chain[i + 1]);
    }
    end_with(chain[0], 1);
    assert_int_equal(sp_wait(chain, CHAIN, SP_ALL_COMPLETED, SP_NOWAIT), SP_OK);
    assert_int_equal(called, CHAIN);
    sp_release_all(chain, CHAIN);
    stress_assert_nothing_wrong();
}

/* ---- registered while it ends ---- */

static void *register_some(void *arg)
{
    sp_event_wait(&gate.open, SP_FOREVER);
    for (int i = 0; i < 10; i++)
        sp_future_add_done_callback(arg, count_late, NULL);
    return NULL;
}

/* libuv/libuv#4976, #5227: exactly one call for each registration, on whichever side of the end it comes; a lost one is
   waited for for ever. */
static void registrations_against_the_end(void **state)
{
    (void)state;
    for (long round = test_count(300); round > 0; round--) {
        pthread_t threads[2];
        reset(0);
        sp_future *future = pending_future();
        for (int i = 0; i < 2; i++)
            threads[i] = test_thread(register_some, future);
        gate_open();
        if (round % 2)
            end_with(future, 1);
        else
            assert_true(sp_future_cancel(future));
        for (int i = 0; i < 2; i++)
            test_join(threads[i]);
        assert_int_equal(late_calls, 20);
        sp_future_release(future);
        stress_assert_nothing_wrong();
    }
}

/* ---- the pool is called while it cancels and while it drops ---- */

static void submit_and_close_again(sp_future *future, void *context)
{
    (void)future, (void)context;
    sp_auto(sp_future) refused = sp_submit(pool, mul, 1, 1);
    stress_expect(sp_result(refused, NULL, SP_NOWAIT) == SP_SHUT_DOWN);
    stress_expect(sp_shutdown(pool, .no_wait = true, .cancel_futures = true) == SP_OK);
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    stress_expect(stats.submitted == 5);
    stress_expect(!sp_executor_wait_idle(pool, SP_NOWAIT)); /* the worker is at the gate */
    sp__add_seq_cst(&called, 1);
}

/* cpython#121649: shutdown() calls something that calls the pool, and finds the pool's lock taken by itself. */
static void a_shutdown_that_cancels_is_entered_again(void **state)
{
    (void)state;
    sp_future *futures[5];
    reset(1);
    for (int i = 0; i < 5; i++)
        futures[i] = sp_submit(pool, pass, i);
    gate_await(1);
    for (int i = 1; i < 5; i++)
        sp_future_add_done_callback(futures[i], submit_and_close_again, NULL);
    assert_int_equal(sp_shutdown(pool, .no_wait = true, .cancel_futures = true), SP_OK);
    assert_int_equal(called, 4);
    gate_open();
    end_pool();
    sp_release_all(futures, 5);
}

static uint32_t dropped; /* atomic */

static void drop_and_submit(void *arg);

static sp_status own(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK_OWNING(own, int, int, drop_and_submit, NULL);

/* The pool lets go of an argument, which submits the next task. */
static void drop_and_submit(void *arg)
{
    sp__add_seq_cst(&dropped, 1);
    if (*(const int *)arg > 0) {
        sp_status status = sp_post(pool, own, *(const int *)arg - 1);
        stress_expect(status == SP_OK || status == SP_SHUT_DOWN);
    }
}

/* bpo-14976, getsentry/sentry-python#803: a finaliser runs inside of a call of the queue, and calls the queue. */
static void a_dropped_argument_submits(void **state)
{
    (void)state;
    enum { N = 100 };
    for (int round = 0; round < 4; round++) {
        reset(1);
        sp__store_release(&dropped, 0);
        if (round == 0) { /* dropped by the worker */
            assert_int_equal(sp_post(pool, own, N), SP_OK);
            test_await(sp__load_acquire(&dropped) == N + 1);
        } else { /* while the pool is being closed: by who cancels, or who is refused */
            sp_future *first = sp_submit(pool, pass, 1);
            gate_await(1);
            for (int i = 0; i < 3; i++)
                assert_int_equal(sp_post(pool, own, 3), SP_OK);
            assert_int_equal(sp_shutdown(pool, .no_wait = true, .cancel_futures = round % 2), SP_OK);
            gate_open();
            sp_future_release(first);
        }
        end_pool();
        assert_true(round == 0 || dropped >= 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callback_asks_its_own_future),
        cmocka_unit_test(a_callback_waits_for_its_own_pool),
        cmocka_unit_test(each_end_cancels_all_others),
        cmocka_unit_test(two_that_end_at_once_ask_each_other),
        cmocka_unit_test(a_chain_of_ends),
        cmocka_unit_test(registrations_against_the_end),
        cmocka_unit_test(a_shutdown_that_cancels_is_entered_again),
        cmocka_unit_test(a_dropped_argument_submits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
