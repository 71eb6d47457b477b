/* Workers that wait outside of their tasks, or have lent their permits: they are not taken for tasks that sleep, run nobody
   else's task, and hold up neither who waits until the pool is idle nor a wait with a limit.

   SPDX-License-Identifier: MIT */
#include "window.h"

#include <spool.h>

#include "executor/pool.h"

static sp_executor *pool;
static sp_event gate, may_finish;

static sp_status hold(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_event_wait(&gate, (double)test_patience()) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(hold, sp_none, sp_none);

static void begin(sp_executor *made)
{
    sp_event_clear(&gate);
    sp_event_clear(&may_finish);
    pool = made;
}

static void assert_ends(sp_future *future)
{
    assert_int_equal(sp_result(future, NULL, (double)test_patience()), SP_OK);
    sp_future_release(future);
}

static void end(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static uint32_t parked(void)
{
    return sp__load_seq_cst(&sp__pool_of(pool)->parked);
}

/* ---- what counts as a task that sleeps with its permit ---- */

static uint32_t may_end; /* atomic */

/* It runs: it does not sleep. */
static sp_status be_busy(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    test_await(sp__load_seq_cst(&may_end));
    return SP_OK;
}
SP_TASK(be_busy, sp_none, sp_none);

static sp_status wait_for_busy_one(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_auto(sp_future) busy = sp_submit(pool, be_busy);
    return sp_result(busy, NULL, (double)test_patience());
}
SP_TASK(wait_for_busy_one, sp_none, sp_none);

static void a_task_that_has_lent_its_permit_does_not_sleep_with_it(void **state)
{
    (void)state;
    sp__store_seq_cst(&may_end, 0);
    begin(sp_thread_pool(.max_workers = 1));
    struct pause *asleep = pause_at("park: asleep");
    sp_future *waits = sp_submit(pool, wait_for_busy_one);
    pause_await(asleep);
    assert_int_equal(parked(), 0);
    pause_end(asleep);
    sp__store_seq_cst(&may_end, 1);
    assert_ends(waits);
    end();
}

static sp_event finalizes;
static uint32_t may_sleep; /* atomic */

static void sleep_in_finalizer(void *arg)
{
    (void)arg;
    sp_event_set(&finalizes);
    test_await(sp__load_seq_cst(&may_sleep));
    (void)sp_event_wait(&may_finish, (double)test_patience());
}

static void a_finalizer_that_sleeps_is_no_task_that_sleeps(void **state)
{
    (void)state;
    begin(sp_thread_pool(.max_workers = 1, .idle_seconds = 0.001, .finalizer = sleep_in_finalizer));
    assert_ends(sp_submit(pool, be_busy));
    assert_true(sp_event_wait(&finalizes, (double)test_patience()));
    struct pause *asleep = pause_at("park: asleep");
    sp__store_seq_cst(&may_sleep, 1);
    pause_await(asleep);
    assert_int_equal(parked(), 0);
    pause_end(asleep);
    sp_event_set(&may_finish);
    end();
}

/* ---- who runs what lies in another pool ---- */

static sp_future *in_other;

static sp_status wait_for_both(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_future *own = sp_submit(pool, be_busy), *both[] = { in_other, own };
    sp_status status = sp_wait(both, 2, SP_FIRST_COMPLETED, (double)test_patience());
    bool right = sp_future_done(own) && !sp_future_done(in_other) && !sp_future_running(in_other);
    sp_future_release(own);
    return status == SP_OK && !right ? SP_RUNTIME_ERROR : status;
}
SP_TASK(wait_for_both, sp_none, sp_none);

static void a_pool_does_not_run_what_its_task_awaits_of_another(void **state)
{
    (void)state;
    sp__store_seq_cst(&may_end, 1);
    begin(sp_thread_pool(.max_workers = 1));
    sp_executor *other = sp_thread_pool(.max_workers = 1);
    sp_future *holds = sp_submit(other, hold);
    in_other = sp_submit(other, be_busy);
    assert_ends(sp_submit(pool, wait_for_both));
    sp_event_set(&gate);
    assert_ends(holds);
    assert_ends(in_other);
    assert_int_equal(sp_shutdown(other), SP_OK);
    sp_executor_release(other);
    end();
}

/* ---- who runs what a finalizer waits for ---- */

static pthread_t finalizing, running;

static sp_status note_thread(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    running = pthread_self();
    return SP_OK;
}
SP_TASK(note_thread, sp_none, sp_none);

static sp_status of_finalizer;

static void submit_and_wait(void *arg)
{
    if (sp__add_seq_cst((uint32_t *)arg, 1) != 0)
        return;
    finalizing = pthread_self();
    sp_auto(sp_future) future = sp_submit(pool, note_thread);
    of_finalizer = sp_result(future, NULL, SP_FOREVER);
    sp_event_set(&finalizes);
}

static void what_a_finalizer_waits_for_is_run_by_another_worker(void **state)
{
    (void)state;
    uint32_t finalized = 0;
    sp_event_clear(&finalizes);
    begin(sp_thread_pool(.max_workers = 1, .idle_seconds = 0.001, .finalizer = submit_and_wait,
                         .initializer_arg = &finalized));
    assert_ends(sp_submit(pool, be_busy));
    assert_true(sp_event_wait(&finalizes, (double)test_patience()));
    assert_int_equal(of_finalizer, SP_OK);
    assert_false(pthread_equal(finalizing, running));
    end();
}

/* ---- who waits until the pool is idle ---- */

static sp_thread *idler;
static bool is_idle;
static sp_event initializes;

static sp_status wait_until_idle(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    is_idle = sp_executor_wait_idle(pool, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_until_idle, sp_none, sp_none);

/* The first one waits for a thread that waits until the pool is idle. */
static sp_status first_joins_idler(void *arg)
{
    if (sp__add_seq_cst((uint32_t *)arg, 1) != 0)
        return SP_OK;
    sp_event_set(&initializes);
    (void)sp_event_wait(&may_finish, (double)test_patience());
    return sp_thread_wait(idler, SP_FOREVER);
}

static void an_initializer_may_wait_for_a_thread_that_waits_until_the_pool_is_idle(void **state)
{
    (void)state;
    uint32_t begun = 0;
    is_idle = false;
    begin(sp_thread_pool(.max_workers = 2, .initializer = first_joins_idler, .initializer_arg = &begun));
    sp_future *first = sp_submit(pool, hold);
    assert_true(sp_event_wait(&initializes, (double)test_patience()));
    sp_future *second = sp_submit(pool, hold); /* another worker runs both */
    test_await(sp_future_running(first));
    struct pause *waits = pause_at("park: asleep");
    idler = sp_start(wait_until_idle);
    pause_end(waits);
    struct pause *joins = pause_at("park: asleep");
    sp_event_set(&may_finish);
    pause_end(joins);
    sp_event_set(&gate);
    assert_ends(first);
    assert_ends(second);
    assert_int_equal(sp_thread_wait(idler, SP_FOREVER), SP_OK);
    sp_thread_release(idler);
    assert_true(is_idle);
    end();
}

/* ---- a limit ---- */

static void if_the_time_of_join_all_is_up_the_pool_is_as_before(void **state)
{
    (void)state;
    begin(sp_thread_pool(.max_workers = 1));
    sp_future *holds = sp_submit(pool, hold);
    assert_false(sp_join_all(0.01));
    assert_int_equal(sp_post(pool, hold), SP_OK);
    sp_event_set(&gate);
    assert_ends(holds);
    end();
}

static bool all_joined;

static void join_all_for_a_moment(void *context)
{
    (void)context;
    all_joined = sp_join_all(0.05);
}

/* The pool has nothing to do, but its last worker does not come to its end. */
static void join_all_waits_no_longer_than_its_limit_for_a_finalizer(void **state)
{
    (void)state;
    one joiner;
    begin(sp_thread_pool(.max_workers = 1, .finalizer = sleep_in_finalizer));
    assert_ends(sp_submit(pool, be_busy));
    sp__store_seq_cst(&may_sleep, 1);
    all_joined = true;
    one_start(&joiner, join_all_for_a_moment, NULL);
    one_end(&joiner);
    assert_false(all_joined);
    sp_event_set(&may_finish);
    end();
}

/* ---- two at a time ---- */

enum { POOLS = 5 };
static _Thread_local int passed; /* pools at rest that this thread has come past */
static _Thread_local bool is_first;
static one second;
static uint32_t is_past, may_go_on; /* atomic; of the second */

static void join_all_with_a_limit(void *context)
{
    (void)context;
    (void)sp_join_all(1e6);
}

/* When the first stands at its first pool, the second comes past all, and stops at its last. */
static void let_second_pass(const char *site)
{
    if (strcmp(site, "registry: a pool rests") != 0)
        return;
    passed++;
    if (is_first && passed == 1) {
        one_start(&second, join_all_with_a_limit, NULL);
        test_await(sp__load_seq_cst(&is_past));
    } else if (!is_first && passed == POOLS) {
        sp__store_seq_cst(&is_past, 1);
        test_await(sp__load_seq_cst(&may_go_on));
    }
}

/* Whoever else joins all: each looks at every pool twice, the second time whether there is still nothing to do. */
static void two_that_join_all_with_a_limit_do_not_send_each_other_back(void **state)
{
    (void)state;
    sp_executor *pools[POOLS];
    for (int i = 0; i < POOLS; i++)
        pools[i] = sp_thread_pool(.max_workers = 1);
    is_first = true;
    sp__pause_set(let_second_pass);
    assert_true(sp_join_all(1e6));
    assert_int_equal(passed, 2 * POOLS);
    sp__store_seq_cst(&may_go_on, 1);
    one_end(&second);
    for (int i = 0; i < POOLS; i++)
        sp_executor_release(pools[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_that_has_lent_its_permit_does_not_sleep_with_it),
        cmocka_unit_test(a_pool_does_not_run_what_its_task_awaits_of_another),
        cmocka_unit_test(a_finalizer_that_sleeps_is_no_task_that_sleeps),
        cmocka_unit_test(what_a_finalizer_waits_for_is_run_by_another_worker),
        cmocka_unit_test(an_initializer_may_wait_for_a_thread_that_waits_until_the_pool_is_idle),
        cmocka_unit_test(if_the_time_of_join_all_is_up_the_pool_is_as_before),
        cmocka_unit_test(join_all_waits_no_longer_than_its_limit_for_a_finalizer),
        cmocka_unit_test(two_that_join_all_with_a_limit_do_not_send_each_other_back),
    };
    return cmocka_run_group_tests_name("waits", tests, NULL, NULL);
}
