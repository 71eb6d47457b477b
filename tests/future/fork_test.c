/* Futures in the child of a fork: errors that nobody has looked at, what was being cancelled, callbacks, locks that others
   held.

   SPDX-License-Identifier: MIT */
#include "fork.h"

#include <spool.h>

#include "future/future.h"
#include "os/fault.h"
#include "os/lifecycle.h"

static const char *program;
static sp_executor *pool;
static sp_event may_end;
static sp_semaphore arrived;
static unsigned told; /* atomic; by the hook in this process */
static bool is_child;

static sp_status fail_at_once(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_raise(SP_RUNTIME_ERROR, "on purpose");
}
SP_TASK(fail_at_once, sp_none, sp_none);

static sp_status wait_until_set(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    must(sp_semaphore_release(&arrived, 1) == SP_OK);
    sp_event_wait(&may_end, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_until_set, sp_none, sp_none);

/* ---- errors ---- */

static void count_error(const sp_error *error, void *context)
{
    (void)error, (void)context;
    sp__add_seq_cst(&told, 1);
}

enum { FAILED = 4, UNSEEN = 3 };
static sp_future *failed[FAILED];

static sp_future *failed_by_hand(void)
{
    sp_future *future = sp_future_new(&fail_at_once_sp_task, "");
    must(sp_future_set_error(future, &(sp_error){ .status = SP_VALUE_ERROR, .message = "by hand" }) == SP_OK);
    return future;
}

/* Of a pool, by hand, by hand without memory for the record; and one that was looked at. */
static void make_failed(void)
{
    sp_set_unseen_error_hook(count_error, NULL);
    pool = sp_thread_pool(.max_workers = 1);
    failed[0] = sp_submit(pool, fail_at_once);
    must(sp_future_wait(failed[0], SP_FOREVER) && sp_executor_wait_idle(pool, SP_FOREVER));
    failed[1] = failed_by_hand();
    failed[2] = sp_future_new(&fail_at_once_sp_task, "");
    sp__fault_arm(1, true);
    must(sp_future_set_error(failed[2], &(sp_error){ .status = SP_VALUE_ERROR, .message = "lost" }) == SP_OK);
    must(sp__fault_disarm() > 0);
    failed[3] = failed_by_hand();
    must(sp_future_error(failed[3]) != NULL);
}

/* Those of the parent's are not told, neither when they are given back nor at exit. */
static void no_error_in_child(void)
{
    sp_release_all(failed, FAILED);
    must(told == 0);
}

static void leave_errors_in_child(void)
{
}

/* One of the child's own is told once, at its exit or when it is given back. */
static void own_errors_in_child(void)
{
    is_child = true;
    (void)failed_by_hand();
    sp_release_all(failed, FAILED);
    must(told == 0);
    sp_future_release(failed_by_hand());
    must(told == 1);
}

/* Set in the child, it is the child's. */
static sp_future *open_future;

static void set_in_child(void)
{
    must(sp_future_set_error(open_future, &(sp_error){ .status = SP_OS_ERROR, .message = "child" }) == SP_OK);
    sp_future_release(open_future);
    must(told == 1);
}

static void two_in_child(void)
{
    must(told == (is_child ? 2 : 0)); /* one of them by the exit, which was before */
}

static void errors(void)
{
    must(atexit(two_in_child) == 0);
    make_failed();
    open_future = sp_future_new(&fail_at_once_sp_task, "");
    forked(no_error_in_child);
    forked(set_in_child);
    forked_to_exit(own_errors_in_child);
    sp_set_unseen_error_hook(NULL, NULL); /* what is told at exit is seen on standard error */
    forked_to_exit(leave_errors_in_child);
    sp_set_unseen_error_hook(count_error, NULL);
    sp_release_all(failed, FAILED);
    must(told == UNSEEN); /* in the parent they are told, once */
    sp_future_release(open_future);
    must(told == UNSEEN);
    sp_executor_release(pool);
    _exit(0);
}

/* ---- cancelled in the child, or by somebody in the middle of the fork ---- */

enum { QUEUED = 3 };
static sp_future *queued[QUEUED];

static void submit_queued(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    must(sp_post(pool, wait_until_set) == SP_OK);
    sp_semaphore_acquire(&arrived);
    for (int i = 0; i < QUEUED; i++)
        queued[i] = sp_submit(pool, fail_at_once);
}

static void end_queued(void)
{
    sp_event_set(&may_end);
    for (int i = 0; i < QUEUED; i++)
        must(sp_future_wait(queued[i], SP_FOREVER) && sp_future_error(queued[i]) != NULL);
    sp_release_all(queued, QUEUED);
    sp_executor_release(pool);
}

/* It lies in a queue of the parent's, whose workers will not take it out. */
static void cancel_in_child(void)
{
    const sp_error *error;
    for (int i = 0; i < QUEUED; i++) {
        must(sp_future_cancel(queued[i]) && sp_future_cancelled(queued[i]) && sp_future_done(queued[i]));
        must((error = sp_future_error(queued[i])) != NULL && error->status == SP_CANCELLED);
        must(strcmp(error->task, "fail_at_once") == 0 && sp_result(queued[i], NULL, SP_FOREVER) == SP_CANCELLED);
    }
}

static void cancelled(void)
{
    submit_queued();
    forked(cancel_in_child);
    end_queued();
}

/* As sp_future_cancel does it: the phase is there, and the future still linked in its queue. */
static void *begin_to_cancel(void *arg)
{
    uint64_t seen;
    sp__place_lock(queued[1]);
    must(sp__word_finish(&queued[1]->word, SP__PENDING, SP__CANCELLED, false, &seen));
    must(sp_semaphore_release(&arrived, 1) == SP_OK);
    sp_event_wait(&may_end, SP_FOREVER);
    bool was_queued = queued[1]->owner->cancelled(queued[1]->owner, queued[1]);
    sp__place_unlock(queued[1]);
    if (was_queued)
        sp_future_release(queued[1]); /* the queue's */
    return arg;
}

static void half_cancelled_in_child(void)
{
    const sp_error *error = sp_future_error(queued[1]);
    must(error != NULL && error->status == SP_CANCELLED && strcmp(error->task, "fail_at_once") == 0);
    must(sp_result(queued[1], NULL, SP_FOREVER) == SP_CANCELLED && sp_future_error(queued[1]) == error);
    sp__place_lock(queued[1]);
    sp__place_unlock(queued[1]);
}

static void half_cancelled(void)
{
    submit_queued();
    pthread_t canceller = test_thread(begin_to_cancel, NULL);
    sp_semaphore_acquire(&arrived);
    forked(half_cancelled_in_child);
    sp_event_set(&may_end);
    test_join(canceller);
    end_queued();
}

/* A record that somebody had made before is kept, whoever holds the lock at the fork. */
static sp_future *known;
static const sp_error *its_error;

static void *hold_place(void *arg)
{
    sp__place_lock(known);
    must(sp_semaphore_release(&arrived, 1) == SP_OK);
    sp_event_wait(&may_end, SP_FOREVER);
    sp__place_unlock(known);
    return arg;
}

static void known_in_child(void)
{
    const sp_error *error = sp_future_error(known);
    must(error != NULL && error->status == SP_CANCELLED && sp_future_error(known) == error);
    sp__place_lock(known);
    sp__place_unlock(known);
}

static void known_cancelled(void)
{
    submit_queued();
    known = queued[1];
    must(sp_future_cancel(known) && (its_error = sp_future_error(known)) != NULL);
    forked(known_in_child);
    pthread_t holder = test_thread(hold_place, NULL);
    sp_semaphore_acquire(&arrived);
    forked(known_in_child);
    sp_event_set(&may_end);
    test_join(holder);
    must(sp_future_error(known) == its_error);
    end_queued();
}

/* ---- callbacks of what the parent has to do ---- */

static sp_future *lost[2]; /* the one runs, the other is queued */
static int calls[2];

static void note_call(sp_future *future, void *context)
{
    must(future == lost[(int *)context - calls] && !sp_future_done(future));
    ++*(int *)context;
}

static void watch_lost(void)
{
    for (int i = 0; i < 2; i++)
        sp_future_add_done_callback(lost[i], note_call, &calls[i]);
}

/* With memory it is registered, for an end that does not come here.  Without, the call cannot wait, and calls it. */
static void callback_in_child(void)
{
    watch_lost();
    must(calls[0] == 0 && calls[1] == 0);
    sp__fault_arm(1, true);
    watch_lost();
    must(sp__fault_disarm() > 0);
    must(calls[0] == 1 && calls[1] == 1);
}

static void callback(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    lost[0] = sp_submit(pool, wait_until_set);
    sp_semaphore_acquire(&arrived);
    lost[1] = sp_submit(pool, wait_until_set);
    forked(callback_in_child);
    sp_event_set(&may_end);
    must(sp_shutdown(pool) == SP_OK);
    must(calls[0] == 0 && calls[1] == 0);
    sp_release_all(lost, 2);
    sp_executor_release(pool);
}

/* ---- locks of the library's that others hold ---- */

static void held_locks(void)
{
    fork_waits_for(sp__fork_watches.before, sp__fork_watches.in_parent);
    fork_waits_for(sp__fork_depots.before, sp__fork_depots.in_parent);
    fork_waits_for(sp__fork_task.before, sp__fork_task.in_parent);
    fork_waits_for(sp__fork_hooks.before, sp__fork_hooks.in_parent);
    fork_waits_for(sp__fork_executor.before, sp__fork_executor.in_parent);
}

/* ---- the tests ---- */

static const struct child_case cases[] = {
    { "errors", errors },         { "cancelled", cancelled }, { "half cancelled", half_cancelled },
    { "known", known_cancelled }, { "callback", callback },   { "held locks", held_locks },
};

static void errors_of_the_parent_are_not_told_by_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "errors");
}

static void a_future_of_the_parents_pool_can_be_cancelled_in_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "cancelled");
}

static void a_future_that_was_being_cancelled_has_an_error_in_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "half cancelled");
    fork_case_passes(program, "known");
}

static void a_callback_without_memory_is_called_at_once_for_what_is_lost_in_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "callback");
}

static void a_fork_waits_for_who_changes_lists_of_futures(void **state)
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
        cmocka_unit_test(errors_of_the_parent_are_not_told_by_the_child),
        cmocka_unit_test(a_future_of_the_parents_pool_can_be_cancelled_in_the_child),
        cmocka_unit_test(a_future_that_was_being_cancelled_has_an_error_in_the_child),
        cmocka_unit_test(a_callback_without_memory_is_called_at_once_for_what_is_lost_in_the_child),
        cmocka_unit_test(a_fork_waits_for_who_changes_lists_of_futures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
