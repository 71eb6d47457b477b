/* Tasks of several pools that wait for each other's pools: the call that would close a cycle is refused; with a lock in the
   cycle it is reported; what can still end is only waited for.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <spool.h>

#include "base/atomic.h"

enum { MOST = 3 };
enum how { SHUTDOWN, IDLE, ALL, HOWS };

static const char *program;
static sp_executor *pools[MOST];
static sp_future *futures[MOST];
static int members;
static uint32_t at_work; /* atomic; tasks that have begun */
static sp_lock lock;
static sp_event go;

/* All of them run: from now on each is part of its pool's work. */
static void meet(void)
{
    sp__add_relaxed(&at_work, 1);
    test_await(sp__load_relaxed(&at_work) >= (uint32_t)members);
}

/* False: refused. */
static bool wait_for_pool(sp_executor *pool, enum how how)
{
    if (how == ALL)
        return sp_join_all(SP_FOREVER);
    if (how == IDLE)
        return sp_executor_wait_idle(pool, SP_FOREVER);
    sp_status status = sp_shutdown(pool);
    if (status != SP_OK && status != SP_DEADLOCK)
        _exit(96);
    return status == SP_OK;
}

struct part {
    int self;
    enum how how;
};

static sp_status wait_for_next_pool(const struct part *in, bool *out)
{
    meet();
    *out = wait_for_pool(pools[(in->self + 1) % members], in->how);
    return SP_OK;
}
SP_TASK(wait_for_next_pool, struct part, bool);

static sp_status wait_for_next_task(const struct part *in, bool *out)
{
    meet();
    *out = sp_result(futures[(in->self + 1) % members], NULL, SP_FOREVER) != SP_DEADLOCK;
    return SP_OK;
}
SP_TASK(wait_for_next_task, struct part, bool);

static void begin(int n)
{
    members = n;
    sp__store_relaxed(&at_work, 0);
    for (int i = 0; i < n; i++)
        pools[i] = sp_thread_pool(.max_workers = 1);
}

/* One wait was refused, and so all others have ended. */
static void assert_one_was_refused(void)
{
    int refused = 0;
    for (int i = 0; i < members; i++) {
        bool waited = false;
        assert_int_equal(sp_result(futures[i], &waited, SP_FOREVER), SP_OK);
        refused += !waited;
    }
    assert_int_equal(refused, 1);
    for (int i = 0; i < members; i++) {
        assert_int_equal(sp_shutdown(pools[i]), SP_OK);
        sp_executor_release(pools[i]);
        sp_future_release(futures[i]);
    }
}

static void pools_that_wait_for_each_other_get_deadlock(void **state)
{
    (void)state;
    for (int how = 0; how < HOWS; how++)
        for (int n = 2; n <= (how == ALL ? 2 : MOST); n++) {
            begin(n);
            for (int i = 0; i < n; i++)
                futures[i] = sp_submit(pools[i], wait_for_next_pool, i, (enum how)how);
            assert_one_was_refused();
        }
}

static void a_mixture_of_waits_gets_deadlock(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        begin(2);
        for (int i = 0; i < 2; i++)
            futures[i] = sp_submit(pools[i], wait_for_next_pool, i, i == first ? SHUTDOWN : IDLE);
        assert_one_was_refused();
    }
}

static void a_pool_and_a_future_get_deadlock(void **state)
{
    (void)state;
    for (int how = 0; how < ALL; how++) {
        begin(2);
        futures[0] = sp_submit(pools[0], wait_for_next_pool, 0, (enum how)how);
        futures[1] = sp_submit(pools[1], wait_for_next_task, 1, SHUTDOWN);
        assert_one_was_refused();
    }
}

/* Its task runs in who submits it. */
static void an_inline_pool_and_a_pool_get_deadlock(void **state)
{
    (void)state;
    for (int how = 0; how < ALL; how++) {
        begin(2);
        sp_executor_release(pools[0]);
        pools[0] = sp_inline_pool(.seed = 0);
        futures[1] = sp_submit(pools[1], wait_for_next_pool, 1, (enum how)how);
        futures[0] = sp_submit(pools[0], wait_for_next_pool, 0, (enum how)how);
        assert_one_was_refused();
    }
}

/* ---- with a lock ---- */

static sp_status wait_with_lock(const struct part *in, bool *out)
{
    sp_lock_acquire(&lock);
    meet();
    *out = wait_for_pool(pools[1], in->how);
    sp_lock_release(&lock);
    return SP_OK;
}
SP_TASK(wait_with_lock, struct part, bool);

static sp_status want_lock(const struct part *in, bool *out)
{
    meet();
    sp_lock_acquire(&lock);
    sp_lock_release(&lock);
    *out = in->self == 1;
    return SP_OK;
}
SP_TASK(want_lock, struct part, bool);

static void with_lock(enum how how)
{
    begin(2);
    futures[1] = sp_submit(pools[1], want_lock, 1, how);
    futures[0] = sp_submit(pools[0], wait_with_lock, 0, how);
    (void)!sp_result(futures[0], NULL, SP_FOREVER);
}

static void shutdown_with_lock(void)
{
    with_lock(SHUTDOWN);
}

static void idle_with_lock(void)
{
    with_lock(IDLE);
}

static const struct child_case cases[] = { { "shutdown", shutdown_with_lock }, { "idle", idle_with_lock } };

static void a_cycle_over_a_pool_and_a_lock_is_reported(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "shutdown", NULL);
    child_aborted(&end, "waits for the end of the pool at ");
    end = child_run(program, "idle", NULL);
    child_aborted(&end, "waits until nothing runs in the pool at ");
}

/* ---- no cycle ---- */

static sp_status wait_for_event(const struct part *in, bool *out)
{
    meet();
    sp_event_wait(&go, SP_FOREVER);
    *out = in->self == 1;
    return SP_OK;
}
SP_TASK(wait_for_event, struct part, bool);

static sp_status wait_soon(const struct part *in, bool *out)
{
    meet();
    while (!sp_executor_wait_idle(pools[(in->self + 1) % members], 1e-4) && !sp_event_is_set(&go))
        continue;
    *out = true;
    return SP_OK;
}
SP_TASK(wait_soon, struct part, bool);

/* The other task waits for an event, or with a limit. */
static void what_can_still_end_is_waited_for(void **state)
{
    (void)state;
    for (int how = 0; how < 2 * ALL; how++) {
        sp_event_clear(&go);
        begin(2);
        futures[1] = how < ALL ? sp_submit(pools[1], wait_for_event, 1, SHUTDOWN)
                               : sp_submit(pools[1], wait_soon, 1, SHUTDOWN);
        futures[0] = sp_submit(pools[0], wait_for_next_pool, 0, (enum how)(how % ALL));
        test_await(sp__load_relaxed(&at_work) == 2);
        for (int i = 0; i < 200; i++)
            sched_yield(); /* usually it waits for the pool then */
        sp_event_set(&go);
        bool waited = false;
        assert_int_equal(sp_result(futures[0], &waited, SP_FOREVER), SP_OK);
        assert_true(waited);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(sp_shutdown(pools[i]), SP_OK);
            sp_executor_release(pools[i]);
            sp_future_release(futures[i]);
        }
    }
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pools_that_wait_for_each_other_get_deadlock),
        cmocka_unit_test(a_mixture_of_waits_gets_deadlock),
        cmocka_unit_test(a_pool_and_a_future_get_deadlock),
        cmocka_unit_test(an_inline_pool_and_a_pool_get_deadlock),
        cmocka_unit_test(a_cycle_over_a_pool_and_a_lock_is_reported),
        cmocka_unit_test(what_can_still_end_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
