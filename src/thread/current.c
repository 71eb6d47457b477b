/* The handle of the calling thread and that of the main thread; threads that were not started here.

   A foreign thread has a record in the registry from the moment it asks for one until it ends.

   SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>

#include "base/refcount.h"
#include "os/lifecycle.h"
#include "thread/thread.h"

static const sp_task foreign_task = {
    .struct_size = sizeof(sp_task), .name = "foreign thread", .file = __FILE__, .result_size = 1
};

static struct sp__thread_name main_name = { NULL, "MainThread" };
static sp_thread main_record;  /* of the thread that loaded the library */
static sp_thread *main_thread; /* atomic; main_record, or in the child of a fork who forked */
static uint64_t last_dummy;    /* atomic, relaxed: numbers of foreign threads */

static void fill(sp_thread *thread, struct sp__runner *runner)
{
    thread->foreign = true;
    thread->process = sp__process_number;
    thread->task = &foreign_task;
    thread->runner = runner;
    thread->ident = runner->id;
    thread->native_id = sp__os_thread_id();
    sp__os_thread_this(&thread->os);
    sp__runner_set_name(runner, thread->name->text);
    runner->thread = thread;
    /* relaxed: published by the registry's lock.  Its end will not be noticed: it counts as gone */
    if (!sp__runner_is_told(runner))
        sp__store_relaxed(&thread->state, SP__THREAD_GONE);
    sp__registry_add(thread);
}

/* By the main thread: when the library is loaded; earlier, when a constructor of the program comes before ours and asks; or
   later, when another thread has loaded the library. */
static sp_thread *adopt_main(struct sp__runner *runner)
{
    main_record.refs = 2; /* the registry has one, the other is never given up */
    main_record.name = &main_name;
    fill(&main_record, runner);
    sp__store_release(&main_thread, &main_record); /* release: pairs with the acquire in sp_thread_main */
    return &main_record;
}

/* Is the caller the main thread, and not adopted yet? */
static bool is_main_to_be(void)
{
    return sp__load_relaxed(&main_thread) == NULL && sp__os_is_main_thread(); /* relaxed: main stores it itself */
}

SP__CONSTRUCTOR static void begin(void)
{
    if (is_main_to_be())
        (void)adopt_main(sp__self());
}

static sp_thread *new_record(struct sp__runner *runner)
{
    char text[48];
    unsigned long long number = sp__add_relaxed(&last_dummy, 1) + 1; /* relaxed: numbers need to differ */
    snprintf(text, sizeof text, "Dummy-%llu", number);
    sp_thread *thread = sp__os_zalloc(sizeof *thread);
    struct sp__thread_name *name = sp__thread_new_name(text);
    if (thread == NULL || name == NULL || sp__registry_prepare() != 0) {
        sp__os_free(thread);
        sp__os_free(name);
        errno = ENOMEM;
        return NULL;
    }
    thread->name = name;
    thread->refs = 1; /* the registry's */
    thread->daemon = true;
    fill(thread, runner);
    return thread;
}

static struct sp__runner *bottom(void)
{
    struct sp__runner *runner = sp__self();
    while (runner->outer != NULL)
        runner = runner->outer;
    return runner;
}

sp_thread *sp_thread_current(void)
{
    struct sp__runner *runner = bottom();
    if (runner->thread != NULL)
        return runner->thread;
    if (is_main_to_be())
        return adopt_main(runner);
    if (!sp__runner_was_refused())
        return new_record(runner);
    errno = ENOMEM;
    return NULL; /* its record would name a runner that is gone */
}

sp_thread *sp_thread_main(void)
{
    if (is_main_to_be())
        (void)adopt_main(bottom());
    return sp__load_acquire(&main_thread); /* acquire: pairs with the releases in adopt_main and sp__main_after_fork */
}

/* ---- their ends ---- */

/* A thread ends, of which code may still run. */
void sp__runner_ends(struct sp__runner *runner)
{
    sp__locals_finish();
    sp_thread *thread = runner->thread; /* a finaliser may have asked for it, or forked */
    if (thread != NULL && !thread->foreign && !thread->is_ending)
        sp__thread_end(thread); /* what was to do so was itself ended */
}

static void foreign_left(sp_thread *thread)
{
    bool is_main = thread == sp_thread_main();
    /* relaxed: written by this thread.  Who forked in a task, and ended in it, has ended as that already. */
    if (sp__load_relaxed(&thread->state) == SP__THREAD_RUNNING)
        (void)sp__registry_end(thread);
    /* release: pairs with the acquire in sp__thread_finish: as gone as it can be seen from inside */
    sp__store_release(&thread->state, SP__THREAD_GONE);
    sp__thread_wake_joiners(thread);
    sp__registry_remove(thread);
    if (is_main)
        sp__exit_main_left();
}

void sp__runner_left(struct sp__runner *runner, bool sure)
{
    sp_thread *thread = runner->thread;
    if (thread == NULL)
        return;
    if (!thread->foreign) {
        sp__thread_leave(thread, sure);
        return;
    }
    runner->thread = NULL; /* a destructor that asks for a handle now is given another */
    foreign_left(thread);
}

/* The forking thread's record goes on in the child, as that of a thread which nobody collects. */
static void take_along(sp_thread *thread)
{
    thread->process = sp__process_number;
    thread->foreign = true;
    thread->daemon = thread->worker = thread->internal = thread->listed = thread->exits = false;
    thread->owner = NULL; /* it is the parent's */
    thread->status = SP_OK;
    thread->error = NULL; /* of a task that had failed before: the parent's to tell, and somebody may be reading it */
    thread->link = thread->orphan = thread->failed = (struct sp__list){ NULL, NULL };
    sp__store_relaxed(&thread->native_id, sp__os_thread_id()); /* relaxed: alone in the child */
    sp__store_relaxed(&thread->state, SP__THREAD_RUNNING);     /* relaxed: as above; the excepthook may have forked */
    sp__registry_add(thread);
}

/* There is no memory.  A process always has a main thread, whose end is its own: the one that forked takes over the record of
   the parent's, of which then nobody can be told any more what it was. */
static sp_thread *take_over(struct sp__runner *runner)
{
    main_record = (sp_thread){ .refs = 0 }; /* its links are those of the parent's lists */
    return adopt_main(runner);
}

/* Python's rule: who forked is the main thread of the child. */
void sp__main_after_fork(void)
{
    sp__runner_ask_again();
    sp_thread *forked = bottom()->thread;
    if (forked != NULL)
        take_along(forked);
    else if (!sp__runner_was_refused() && (forked = new_record(bottom())) != NULL)
        forked->daemon = false;
    else
        forked = take_over(bottom());
    if (forked != &main_record)
        sp__ref_up(&forked->refs);           /* never given up, as in adopt_main */
    sp__store_release(&main_thread, forked); /* release: as in adopt_main */
}

/* ---- all of them ---- */

size_t sp_thread_active_count(void)
{
    (void)sp_thread_main(); /* it counts, if it is the caller */
    return sp__registry_list(NULL, 0);
}

size_t sp_thread_enumerate(sp_thread **ret_threads, size_t n)
{
    (void)sp_thread_main(); /* as above */
    return sp__registry_list(ret_threads, n);
}
