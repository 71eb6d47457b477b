/* The end of the process.

   exit() ends the thread that calls it, as far as others can see: whoever waits for it, or for a task that it runs, is told.
   Then everything that is no daemon is waited for, twice: before the handlers of atexit(), so that these find no thread at
   work, and behind them.  The first time goes on to the handlers also when all that is left sleeps in the library without a
   limit: nobody but a handler would wake it.  It needs a hook of the C library (sp__os_before_exit), and a thread that is
   main or was started here; elsewhere handlers run as they always did, those that were registered last first.

   SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include <spool/time.h>

#include "base/refcount.h"
#include "os/lifecycle.h"
#include "thread/thread.h"

static uint64_t exiting; /* atomic; the id of the runner whose thread has called exit(); 0: nobody */

/* Two calls of exit() at a time would be the end of one that is at work: the second one waits for the end of the process. */
static void wait_for_the_other(uint64_t self)
{
    uint64_t nobody = 0;
    /* relaxed: it only decides who it is */
    if (sp__cas_relaxed(&exiting, &nobody, self) || nobody == self)
        return;
    for (;;)
        sp_sleep(SP_FOREVER);
}

/* Nothing that runs on this stack will end. */
static struct sp__runner *abandon_all(void)
{
    struct sp__runner *runner = sp__self();
    for (;; runner = runner->outer) {
        if (sp__runner_exits != NULL)
            sp__runner_exits(runner);
        if (runner->outer == NULL)
            return runner;
    }
}

/* It counts as ended, and stays where it is: it is never collected. */
static void count_as_ended(sp_thread *thread)
{
    if (thread == NULL || sp__load_relaxed(&thread->state) == SP__THREAD_GONE) /* relaxed: our own store */
        return;
    if (!thread->foreign && !thread->is_ending) {
        thread->is_ending = true;
        thread->status = SP_RUNTIME_ERROR;
        thread->error = sp__task_ended_early(thread->task, SP__ENDED_BY_EXIT);
        if (thread->owner != NULL)
            thread->owner->abandoned(thread->owned, true);
    }
    /* Also at its end, in a finaliser or a destructor of a user's: it comes no further.  relaxed: our own store */
    if (!thread->foreign && thread->owner != NULL && sp__load_relaxed(&thread->state) < SP__THREAD_LATE)
        thread->owner->left(thread->owned);
    sp__registry_note_exit(thread);
    sp__thread_wake_joiners(thread);
}

static void report_failures(void)
{
    for (sp_thread *thread; (thread = sp__registry_first_failure()) != NULL;) {
        sp__thread_report(thread);
        sp__thread_ref_down(thread);
    }
    sp__unseen_report_all();
}

static void begin(void)
{
    struct sp__runner *runner = abandon_all();
    count_as_ended(runner->thread);
    wait_for_the_other(runner->id);
}

void sp__exit(void)
{
    if (sp__os_missed_a_fork())
        return; /* all that could be waited for is the parent's */
    begin();
    (void)sp_join_all(SP_FOREVER);
    report_failures();
    sp__registry_exited();
}

/* ---- before the handlers of atexit() ---- */

#define FIRST_LOOK INT64_C(10000000) /* nanoseconds */
#define LAST_LOOK INT64_C(80000000)

/* Until everything has ended, or the same sleep lasted from one look to the next everywhere. */
static void wait_for_work(void)
{
    uint64_t now = 0, before = 0;
    for (int64_t interval = FIRST_LOOK; !sp__join_all(sp__os_now() + interval);) {
        bool asleep = sp__registry_all_sleep(&now);
        if (asleep && now == before)
            return;
        before = asleep ? now : 0;
        if (interval < LAST_LOOK && !asleep)
            interval *= 2;
    }
}

static void main_exits(void *nothing)
{
    (void)nothing;
    if (sp__os_missed_a_fork())
        return; /* as in sp__exit */
    begin();
    wait_for_work();
}

/* Called when the thread ends, too; then its end was noted before. */
static void thread_exits(void *argument)
{
    const sp_thread *thread = argument;
    if (!thread->is_ending)
        main_exits(NULL);
}

void sp__exit_watch(sp_thread *thread)
{
    (void)sp__os_before_exit(thread_exits, thread);
}

SP__CONSTRUCTOR static void watch_exit(void)
{
    if (sp__os_is_main_thread())
        (void)sp__os_before_exit(main_exits, NULL);
    (void)sp__os_at_exit(sp__exit); /* refused for want of memory: then what handlers start is not waited for */
}

/* ---- pthread_exit() in the main thread ---- */

/* Are all threads that are left daemons of ours?  Those that are just ending are waited for, to be sure: they are gone from
   one of the two counts before the other. */
static bool only_daemons_are_left(void)
{
    enum { LOOKS = 500 }; /* of a millisecond; then a daemon is held up in its end, and ends with the process */
    for (int i = 0; i < LOOKS; i++) {
        bool settled, still_settled;
        sp__registry_finish_ending();
        unsigned ours = sp__registry_count_ours(&settled), all = sp__os_thread_count();
        if (ours == sp__registry_count_ours(&still_settled) && settled && still_settled)
            return all != 0 && all <= ours + 1; /* and the caller */
        sp_sleep(0.001);
    }
    return false;
}

/* Other threads go on, and the last of them ends the process.  But those of ours that have nothing to do would keep it. */
void sp__exit_main_left(void)
{
    (void)sp_join_all(SP_FOREVER);
    sp__timers_stop();
    if (only_daemons_are_left())
        exit(EXIT_SUCCESS);
}

void sp__exit_after_fork(void)
{
    sp__store_relaxed(&exiting, 0); /* relaxed: alone in the child */
}
