/* What runs in the middle of a wait: a block hook that forks, a task on the stack of another.

   SPDX-License-Identifier: MIT */
#include "deadlock/arrive.h"
#include "fork.h"

#include <spool.h>

#include "base/atomic.h"
#include "park/deadline.h"
#include "park/park.h"

static const char *program;

/* ---- a waiter that keeps its place, whose hook forks ---- */

static uint64_t word;
static int late_calls;
static size_t woken_in_child;

static void nothing(void *context)
{
    (void)context;
}

static int64_t at_once(void *context, bool for_time_only)
{
    (void)context, (void)for_time_only;
    return sp__os_now();
}

static size_t wake(void)
{
    return sp__unpark(
        &(struct sp__wake){ .address = &word, .kind = SP__CONDITION, .most = 1, .token = SP__PARK_GRANTED });
}

/* Called twice: forks, and then, in both processes, finds the waiter in its queue. */
static int64_t fork_and_look(void *context)
{
    (void)context;
    if (++late_calls == 1)
        (void)is_forked_child();
    else
        woken_in_child = wake();
    return late_calls == 1 ? sp__os_now() : SP__NEVER;
}

static bool always(void *context)
{
    (void)context;
    return true;
}

static void hook(void)
{
    struct sp__block_hooks hooks = { .before = nothing, .after = nothing, .alarm = at_once, .late = fork_and_look };
    sp__self()->hooks = &hooks;
    must(sp__park(&(struct sp__wait){ .address = &word,
                                      .kind = SP__CONDITION,
                                      .must_wait = always,
                                      .deadline = SP__NEVER,
                                      .keeps_place = true }) == SP__PARK_GRANTED);
    must(late_calls == 2 && woken_in_child == 1);
    must(!sp__park_maybe_waiters(&word)); /* it was counted once */
    _exit(0);
}

/* ---- a task that a waiting task runs on its stack ---- */

static sp_lock lock;
static sp_condition condition;

static void *wait_to_be_notified(void *arg)
{
    sp_lock_acquire(&lock);
    must(sp_condition_wait(&condition, &lock, SP_FOREVER));
    return arg;
}

/* It has notified a waiter, and ends with the lock: the waiter is awake, to find that. */
static void pop(void)
{
    struct sp__runner task;
    (void)test_thread(wait_to_be_notified, NULL);
    test_await(sp__park_maybe_waiters(&condition));
    sp__runner_push(&task, "task");
    sp_lock_acquire(&lock);
    sp_condition_notify(&condition, 1);
    must(!sp__list_empty(&task.deferred));
    sp__runner_pop(&task);
    must(sp__list_empty(&task.deferred));
    _exit(0);
}

static struct sp__runner *sleeper;

static void *release_when_it_waits(void *arg)
{
    sp_lock_acquire(&lock);
    arrive();
    await_waiting(sleeper);
    sp_lock_release(&lock);
    return arg;
}

/* The record of a task is on the stack: the graph of waits knows it while it has waited, and not when it is over. */
static void wait_and_pop(void)
{
    struct sp__runner task;
    sleeper = sp__self();
    sp__runner_push(&task, "task");
    pthread_t holder = test_thread(release_when_it_waits, NULL);
    must(sp_semaphore_acquire_timeout(&arrived, 20.0));
    sp_lock_acquire(&lock);
    must(task.known);
    sp_lock_release(&lock);
    test_join(holder);
    sp__runner_pop(&task);
    must(!task.known);
    _exit(0);
}

static void want_lock_of_outer(void)
{
    struct sp__runner task;
    sp_lock_acquire(&lock);
    sp__runner_push(&task, "task");
    sp_lock_acquire(&lock);
}

/* ---- the tests ---- */

static const struct child_case cases[] = {
    { "hook", hook }, { "pop", pop }, { "known", wait_and_pop }, { "outer", want_lock_of_outer }
};

static void a_waiter_whose_hook_forks_is_in_its_queue_in_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "hook");
}

static void a_task_that_ends_with_a_lock_has_woken_whom_it_notified(void **state)
{
    (void)state;
    fork_case_passes(program, "pop");
}

static void a_task_that_is_over_is_not_in_the_graph_of_waits(void **state)
{
    (void)state;
    fork_case_passes(program, "known");
}

static void a_task_that_wants_the_lock_of_the_task_below_it_is_reported(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "outer", NULL);
    child_aborted(&end, "which it holds itself");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_waiter_whose_hook_forks_is_in_its_queue_in_the_child),
        cmocka_unit_test(a_task_that_ends_with_a_lock_has_woken_whom_it_notified),
        cmocka_unit_test(a_task_that_is_over_is_not_in_the_graph_of_waits),
        cmocka_unit_test(a_task_that_wants_the_lock_of_the_task_below_it_is_reported),
    };
    return cmocka_run_group_tests_name("hook", tests, NULL, NULL);
}
