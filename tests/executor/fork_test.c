/* What a pool runs forks, a task, an initializer or a callback: what is queued is the parent's, and nobody in the child waits for
   what a thread of the parent holds.

   SPDX-License-Identifier: MIT */
#include "fork.h"

#include <spool.h>

#include "executor/pool.h"

static const char *program;

enum { QUEUED = 5, SEEDS = 4 };
static sp_executor *pool, *other;
static sp_future *forking;
static unsigned ran, ran_before; /* tasks; at the fork */
static bool is_child;

static sp_status count(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    ran++;
    return SP_OK;
}
SP_TASK(count, sp_none, sp_none);

static sp_status fork_here(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    ran_before = ran;
    is_child = is_forked_child_of_status(51);
    return SP_OK;
}
SP_TASK(fork_here, sp_none, sp_none);

/* How the queued tasks are run. */
static void by_result(void)
{
    must(sp_result(forking, NULL, SP_FOREVER) == SP_OK);
}

static void by_idle(void)
{
    must(sp_executor_wait_idle(pool, SP_FOREVER));
}

static void by_shutdown(void)
{
    must(sp_shutdown(pool) == SP_OK);
}

static void by_release(void)
{
    sp_executor_release(pool);
    pool = NULL;
}

static void (*const ways[])(void) = { by_result, by_idle, by_shutdown, by_release };
enum { WAYS = sizeof ways / sizeof ways[0] };

static sp_status leave_well(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    _exit(51);
}
SP_TASK(leave_well, sp_none, sp_none);

/* It runs nothing that was queued, and the future of the one that forked is done; its exit runs what it has queued itself. */
static _Noreturn void leave_in_child(void)
{
    must(ran == ran_before && sp_result(forking, NULL, SP_FOREVER) == SP_OK);
    sp_executor *own = sp_inline_pool(.seed = 1);
    sp_auto(sp_future) of_own = sp_submit(own, count);
    must(sp_result(of_own, NULL, SP_FOREVER) == SP_OK && ran == ran_before + 1);
    must(sp_post(own, leave_well) == SP_OK);
    exit(52);
}

static void fork_by(void (*way)(void), uint64_t seed)
{
    ran = 0;
    other = sp_inline_pool(.seed = seed); /* the parent has more than one, and this one has something to do */
    pool = sp_inline_pool(.seed = seed);
    must(sp_post(other, count) == SP_OK);
    forking = sp_submit(pool, fork_here);
    for (int i = 0; i < QUEUED; i++)
        must(sp_post(pool, count) == SP_OK);
    way();
    if (is_child)
        leave_in_child();
    sp_executor_release(pool);
    must(ran == QUEUED && sp_shutdown(other) == SP_OK && ran == QUEUED + 1);
    sp_executor_release(other);
    sp_future_release(forking);
}

static void drive(void)
{
    unsigned behind = 0; /* how often something was queued behind the one that forked */
    for (int way = 0; way < WAYS; way++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            fork_by(ways[way], seed);
            behind += ran_before < QUEUED;
        }
    must(behind >= WAYS);
}

/* In the child a task may wait for what was queued before, and does not run it. */
static sp_future *queued;

static sp_status fork_and_wait(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    if (is_forked_child()) {
        must(sp_result(queued, NULL, SP_FOREVER) == SP_SHUT_DOWN && ran == 0);
        _exit(0);
    }
    return sp_result(queued, NULL, SP_FOREVER);
}
SP_TASK(fork_and_wait, sp_none, sp_none);

static sp_status submit_and_fork(const sp_none *in, sp_none *out)
{
    queued = sp_submit(pool, count);
    return fork_and_wait(in, out);
}
SP_TASK(submit_and_fork, sp_none, sp_none);

static void wait_in_child(void)
{
    pool = sp_inline_pool(.seed = 2);
    sp_auto(sp_future) future = sp_submit(pool, submit_and_fork);
    must(sp_result(future, NULL, SP_FOREVER) == SP_OK && ran == 1);
    sp_future_release(queued);
    sp_executor_release(pool);
}

/* ---- a thread pool ---- */

static sp_event may_fork, may_let_go, may_end;
static sp_semaphore arrived;

static sp_status wait_for_end(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    must(sp_semaphore_release(&arrived, 1) == SP_OK);
    sp_event_wait(&may_end, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_end, sp_none, sp_none);

static void counters_in_child(void)
{
    sp_executor_statistics stats = { 1, 1, 1 };
    sp_executor_stats(pool, &stats);
    must(stats.submitted == 0 && stats.completed == 0 && stats.workers == 0);
}

static void counters(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    must(sp_post(pool, wait_for_end) == SP_OK);
    sp_semaphore_acquire(&arrived);
    forked(counters_in_child);
    sp_event_set(&may_end);
    must(sp_shutdown(pool) == SP_OK);
    sp_executor_release(pool);
}

/* A thread of the parent holds the pool's lock when what the pool runs forks. */
static pthread_t holder;

static void *hold_pool(void *arg)
{
    sp_lock_acquire(&sp__pool_of(pool)->lock);
    must(sp_semaphore_release(&arrived, 1) == SP_OK);
    sp_event_wait(&may_let_go, SP_FOREVER);
    sp_lock_release(&sp__pool_of(pool)->lock);
    return arg;
}

/* The child ends well. */
static void fork_while_pool_is_held(void)
{
    holder = test_thread(hold_pool, NULL);
    sp_semaphore_acquire(&arrived);
    is_child = is_forked_child();
    sp_event_set(&may_let_go);
}

/* Nothing is broken, in the child neither. */
static sp_status fork_and_fail_in_child(void *arg)
{
    (void)arg;
    sp_event_wait(&may_fork, SP_FOREVER);
    fork_while_pool_is_held();
    return is_child ? SP_USER_ERROR : SP_OK;
}

static void be_in_parent(sp_future *future, void *context)
{
    (void)context;
    must(!is_child && sp_future_done(future));
}

static void initializer(void)
{
    pool = sp_thread_pool(.max_workers = 1, .initializer = fork_and_fail_in_child);
    sp_auto(sp_future) future = sp_submit(pool, count);
    sp_future_add_done_callback(future, be_in_parent, NULL);
    sp_event_set(&may_fork);
    must(sp_result(future, NULL, SP_FOREVER) == SP_OK && ran == 1);
    test_join(holder);
    must(sp_shutdown(pool) == SP_OK);
    sp_executor_release(pool);
}

static void fork_in_callback(sp_future *future, void *context)
{
    (void)future, (void)context;
    fork_while_pool_is_held();
}

static void cancel(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    must(sp_post(pool, wait_for_end) == SP_OK);
    sp_semaphore_acquire(&arrived);
    sp_auto(sp_future) cancelled = sp_submit(pool, count);
    sp_future_add_done_callback(cancelled, fork_in_callback, NULL);
    must(sp_shutdown(pool, .cancel_futures = true, .no_wait = true) == SP_OK);
    if (is_child)
        _exit(0);
    test_join(holder);
    sp_event_set(&may_end);
    must(sp_shutdown(pool) == SP_OK && ran == 0);
    sp_executor_release(pool);
}

/* ---- a task waits, with a limit, and what it runs meanwhile forks ---- */

static sp_event lock_is_held, lock_may_go;

static void *hold_lock_of_pool(void *arg)
{
    sp_lock_acquire(&sp__pool_of(pool)->lock);
    sp_event_set(&lock_is_held);
    sp_event_wait(&lock_may_go, SP_FOREVER);
    sp_lock_release(&sp__pool_of(pool)->lock);
    return arg;
}

static sp_status fork_while_lock_is_held(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    pthread_t holds = test_thread(hold_lock_of_pool, NULL);
    sp_event_wait(&lock_is_held, SP_FOREVER);
    is_child = is_forked_child();
    if (!is_child) {
        sp_event_set(&lock_may_go);
        test_join(holds);
    }
    return SP_OK;
}
SP_TASK(fork_while_lock_is_held, sp_none, sp_none);

/* For one of an inline pool and for one of its own, for which its worker is lent: in the child that is not taken back. */
static sp_status wait_for_both_kinds(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_auto(sp_executor) inside = sp_inline_pool(.seed = 1);
    sp_future *both[] = { sp_submit(inside, fork_while_lock_is_held), sp_submit(pool, count) };
    sp_status status = sp_wait(both, 2, SP_ALL_COMPLETED, 20.0);
    must(is_child ? status == SP_OK || status == SP_SHUT_DOWN : status == SP_OK);
    if (is_child)
        _exit(0);
    sp_release_all(both, 2);
    return SP_OK;
}
SP_TASK(wait_for_both_kinds, sp_none, sp_none);

static void lent(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) waits = sp_submit(pool, wait_for_both_kinds);
    must(sp_result(waits, NULL, SP_FOREVER) == SP_OK);
    sp_executor_release(pool);
}

static const struct child_case cases[] = {
    { "drive", drive },   { "wait", wait_in_child }, { "counters", counters }, { "initializer", initializer },
    { "cancel", cancel }, { "lent", lent },
};

static void what_is_queued_behind_a_task_that_forks_runs_in_the_parent_only(void **state)
{
    (void)state;
    fork_case_passes(program, "drive");
}

static void a_task_in_the_child_does_not_run_what_it_waits_for(void **state)
{
    (void)state;
    fork_case_passes(program, "wait");
}

static void the_counters_of_the_parents_pool_are_zero_in_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "counters");
}

static void an_initializer_that_fails_in_the_child_of_its_fork_breaks_nothing(void **state)
{
    (void)state;
    fork_case_passes(program, "initializer");
}

static void a_callback_that_forks_leaves_the_child_nothing_to_wait_for(void **state)
{
    (void)state;
    fork_case_passes(program, "cancel");
}

static void a_task_that_forks_while_another_waits_leaves_the_pool_alone_in_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "lent");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_queued_behind_a_task_that_forks_runs_in_the_parent_only),
        cmocka_unit_test(a_task_in_the_child_does_not_run_what_it_waits_for),
        cmocka_unit_test(the_counters_of_the_parents_pool_are_zero_in_the_child),
        cmocka_unit_test(an_initializer_that_fails_in_the_child_of_its_fork_breaks_nothing),
        cmocka_unit_test(a_callback_that_forks_leaves_the_child_nothing_to_wait_for),
        cmocka_unit_test(a_task_that_forks_while_another_waits_leaves_the_pool_alone_in_the_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
