/* A fork in the middle of tasks that run on another's stack: ids, what is held and owed there, and the graph of waits.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* gettid */
#include "fork.h"

#include <spool.h>

#include "os/lifecycle.h"
#include "park/runner.h"
#include "park/wait_graph.h"

static const char *program;
static sp_lock lock, inner_lock;
static sp_semaphore arrived;

static void arrive(void)
{
    must(sp_semaphore_release(&arrived, 1) == SP_OK);
}

typedef void (*function)(void);

static sp_status call(const function *in, sp_none *out)
{
    (void)out;
    (*in)();
    return SP_OK;
}
SP_TASK(call, function, sp_none);

/* Call it in a task that runs on the caller's stack. */
static void inside(void (*fn)(void))
{
    uint64_t outer = sp__self_id();
    sp_executor *pool = sp_inline_pool();
    sp_auto(sp_future) ran = sp_submit(pool, call, fn);
    must(sp_result(ran, NULL, SP_FOREVER) == SP_OK && sp__self_id() == outer);
    sp_executor_release(pool);
}

static void *in_thread(void *arg)
{
    (*(const function *)arg)();
    return NULL;
}

static void in_a_foreign_thread(void (*fn)(void))
{
    test_join(test_thread(in_thread, &fn));
}

/* ---- ids ---- */

static uint64_t newest;

static void note_id(void)
{
    must(!sp__is_thread_id(sp__self_id()));
    newest = sp__self_id();
}

/* In a thread of its own, which takes numbers of its own. */
static void note_id_inside(void)
{
    inside(note_id);
}

static void ids_in_child(void)
{
    uint64_t before = newest;
    inside(note_id);
    must(newest > before);
}

static void ids(void)
{
    inside(note_id);
    uint64_t first = newest;
    in_a_foreign_thread(note_id_inside);
    must(newest > first);
    forked(ids_in_child);
}

/* ---- a lock of what runs inside, of which nobody knows before it waits itself ---- */

static uint32_t waiting; /* atomic; the number of the thread that is about to wait */

static void take_and_give(void)
{
    sp__store_release(&waiting, (uint32_t)gettid());
    sp_lock_acquire(&lock);
    sp_lock_release(&lock);
}

/* The caller holds the lock, or what it runs inside: somebody waits for it, and is not told that the owner has ended. */
static void release_to_a_waiter(void)
{
    static const function waits = take_and_give;
    sp__store_release(&waiting, 0);
    pthread_t waiter = test_thread(in_thread, (void *)(uintptr_t)&waits);
    test_await(sp__load_acquire(&waiting) != 0 && sp__load_acquire(&lock.sp_word_) >> 63 == 1 &&
               fork_sleeps((pid_t)sp__load_acquire(&waiting)));
    sp_lock_release(&lock);
    test_join(waiter);
}

static void hold_inside(void)
{
    sp_lock_acquire(&lock);
    release_to_a_waiter();
}

static void new_owner_in_child(void)
{
    inside(hold_inside);
}

static void new_owner(void)
{
    forked(new_owner_in_child);
}

/* ---- a lock of what ran inside a thread of the parent's ---- */

static sp_event may_end;

static void hold_for_long(void)
{
    must(!sp__is_thread_id(sp__self_id()));
    sp_lock_acquire(&lock);
    arrive();
    sp_event_wait(&may_end, SP_FOREVER);
    sp_lock_release(&lock);
}

static void hold_for_long_inside(void)
{
    inside(hold_for_long);
}

static void end_well(const char *report, void *context)
{
    (void)context;
    must(strstr(report, "which has ended") != NULL);
    _exit(0);
}

static void lost_owner_in_child(void)
{
    sp_set_deadlock_hook(end_well, NULL);
    sp_lock_acquire(&lock);
    must(false); /* it is reported */
}

static void lost_owner(void)
{
    static const function holds = hold_for_long_inside;
    pthread_t holder = test_thread(in_thread, (void *)(uintptr_t)&holds);
    sp_semaphore_acquire(&arrived);
    forked(lost_owner_in_child);
    sp_event_set(&may_end);
    test_join(holder);
}

/* ---- a lock of a runner below the one that forks ---- */

static bool is_forked;

static void fork_and_return(void)
{
    is_forked = is_forked_child();
}

static void outer_owner(void)
{
    sp_lock_acquire(&lock);
    inside(fork_and_return);
    if (!is_forked) {
        sp_lock_release(&lock);
        return;
    }
    release_to_a_waiter();
    _exit(0);
}

/* The same two levels down, where the one in the middle has an even id. */
static void middle_owner(void)
{
    inside(outer_owner);
}

/* ---- what is owed to sleepers of the parent's ---- */

static sp_condition condition, inner_condition;

static void wait_for(sp_lock *of, sp_condition *changed)
{
    sp_lock_acquire(of);
    arrive();
    (void)sp_condition_wait(changed, of, SP_FOREVER);
    sp_lock_release(of);
}

static void wait_outside(void)
{
    wait_for(&lock, &condition);
}

static void wait_inside(void)
{
    wait_for(&inner_lock, &inner_condition);
}

static bool owes(const struct sp__runner *runner)
{
    return runner->deferred.next != NULL && !sp__list_empty(&runner->deferred);
}

static void nothing_is_owed(void)
{
    must(!owes(sp__self()) && !owes(sp__self()->outer));
}

static void owe_inside(void)
{
    sp_lock_acquire(&inner_lock);
    sp_condition_notify(&inner_condition, 1);
    must(owes(sp__self()) && owes(sp__self()->outer));
    forked(nothing_is_owed);
    sp_lock_release(&inner_lock);
}

static void owed(void)
{
    static const function outside_waits = wait_outside, inside_waits = wait_inside;
    pthread_t outer = test_thread(in_thread, (void *)(uintptr_t)&outside_waits);
    pthread_t inner = test_thread(in_thread, (void *)(uintptr_t)&inside_waits);
    sp_semaphore_acquire(&arrived);
    sp_semaphore_acquire(&arrived);
    sp_lock_acquire(&inner_lock); /* both have given up their locks: they wait for the conditions */
    sp_lock_release(&inner_lock);
    sp_lock_acquire(&lock);
    sp_condition_notify(&condition, 1);
    inside(owe_inside);
    sp_lock_release(&lock);
    test_join(outer);
    test_join(inner);
}

/* ---- the record of a foreign thread that forks ---- */

static void use_the_library(void)
{
    must(sp__self() != NULL);
}

static sp_thread *of_parent;

/* Those that come look for records of threads that are gone. */
static void own_record_in_child(void)
{
    struct sp__runner *self = sp__self();
    sp_lock_acquire(&lock);
    for (int i = 0; i < 8; i++)
        in_a_foreign_thread(use_the_library);
    must(sp__self() == self && sp_lock_locked(&lock));
    release_to_a_waiter();
    must(sp_join(of_parent, NULL, SP_NOWAIT) == SP_SHUT_DOWN); /* it is as it was at the fork */
}

static void fork_in_foreign_thread(void)
{
    use_the_library();                    /* it has a record */
    in_a_foreign_thread(use_the_library); /* and is not the first of them, for the next who looks */
    forked(own_record_in_child);
}

static void be_a_thread_of_the_parents(void)
{
    of_parent = sp_thread_retain(sp_thread_current());
    arrive();
    sp_event_wait(&may_end, SP_FOREVER);
}

static void own_record(void)
{
    static const function stays = be_a_thread_of_the_parents;
    pthread_t other = test_thread(in_thread, (void *)(uintptr_t)&stays);
    sp_semaphore_acquire(&arrived);
    in_a_foreign_thread(fork_in_foreign_thread);
    forked(own_record_in_child);
    sp_event_set(&may_end);
    test_join(other);
    sp_thread_release(of_parent);
}

/* ---- locks of the library's that others hold ---- */

static void held_locks(void)
{
    fork_waits_for(sp__graph_before_fork, sp__graph_after_fork_in_parent);
    fork_waits_for(sp__fork_park.before, sp__fork_park.in_parent);
}

/* ---- the tests ---- */

static const struct child_case cases[] = {
    { "ids", ids },
    { "new owner", new_owner },
    { "lost owner", lost_owner },
    { "outer owner", outer_owner },
    { "middle owner", middle_owner },
    { "owed", owed },
    { "own record", own_record },
    { "held locks", held_locks },
};

static void what_the_child_runs_has_ids_that_nobody_had(void **state)
{
    (void)state;
    fork_case_passes(program, "ids");
}

static void a_lock_of_a_task_inside_another_is_waited_for_in_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "new owner");
    fork_case_passes(program, "outer owner");
    fork_case_passes(program, "middle owner");
}

static void a_lock_of_a_task_inside_a_thread_of_the_parents_is_lost(void **state)
{
    (void)state;
    fork_case_passes(program, "lost owner");
}

static void nothing_is_owed_to_sleepers_of_the_parent(void **state)
{
    (void)state;
    fork_case_passes(program, "owed");
}

static void a_foreign_thread_that_has_forked_is_not_taken_for_gone(void **state)
{
    (void)state;
    fork_case_passes(program, "own record");
}

static void a_fork_waits_for_who_changes_the_graph_of_waits(void **state)
{
    (void)state;
    fork_case_passes(program, "held locks");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_child_runs_has_ids_that_nobody_had),
        cmocka_unit_test(a_lock_of_a_task_inside_another_is_waited_for_in_the_child),
        cmocka_unit_test(a_lock_of_a_task_inside_a_thread_of_the_parents_is_lost),
        cmocka_unit_test(nothing_is_owed_to_sleepers_of_the_parent),
        cmocka_unit_test(a_foreign_thread_that_has_forked_is_not_taken_for_gone),
        cmocka_unit_test(a_fork_waits_for_who_changes_the_graph_of_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
