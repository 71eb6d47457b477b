/* All threads, and the end of the process.

   SPDX-License-Identifier: MIT */
#include <spool/time.h>

#include "base/refcount.h"
#include "park/deadline.h"
#include "park/word_lock.h"
#include "thread/thread.h"

static struct sp__word_lock lock;
static struct sp__list threads SP__GUARDED_BY(lock) = { &threads, &threads };
static struct sp__list failures SP__GUARDED_BY(lock) = { &failures, &failures };
static struct sp__list drainables SP__GUARDED_BY(lock) = { &drainables, &drainables };
static bool prepared SP__GUARDED_BY(lock);

void sp__registry_lock(void) SP__UNCHECKED
{
    sp__word_lock_acquire(&lock);
}

void sp__registry_unlock(void) SP__UNCHECKED
{
    sp__word_lock_release(&lock);
}

void sp__registry_add(sp_thread *thread)
{
    sp__word_lock_acquire(&lock);
    sp__list_append(&threads, &thread->link);
    sp__word_lock_release(&lock);
}

void sp__registry_remove(sp_thread *thread)
{
    sp__word_lock_acquire(&lock);
    bool linked = sp__list_linked(&thread->link);
    sp__list_remove(&thread->link);
    sp__word_lock_release(&lock);
    if (linked)
        sp__thread_ref_down(thread);
}

bool sp__registry_end(sp_thread *thread)
{
    sp__word_lock_acquire(&lock);
    if (thread->error != NULL && !thread->worker && thread->status != SP_CANCELLED)
        sp__list_append(&failures, &thread->failed);
    bool unheld = thread->handles == 0;
    /* release: publishes status, result and error; pairs with the acquire in wait_for_state */
    sp__store_release(&thread->state, SP__THREAD_ENDED);
    sp__word_lock_release(&lock);
    return unheld;
}

bool sp__registry_take_failed(sp_thread *thread)
{
    sp__word_lock_acquire(&lock);
    bool linked = sp__list_linked(&thread->failed);
    sp__list_remove(&thread->failed);
    sp__word_lock_release(&lock);
    return linked;
}

void sp__drainable_add(struct sp__drainable *drainable)
{
    sp__word_lock_acquire(&lock);
    sp__list_append(&drainables, &drainable->link);
    sp__word_lock_release(&lock);
}

void sp__drainable_remove(struct sp__drainable *drainable)
{
    sp__word_lock_acquire(&lock);
    sp__list_remove(&drainable->link);
    sp__word_lock_release(&lock);
}

/* The first thread for which `wanted` says yes, with a reference. */
static sp_thread *find(bool (*wanted)(const sp_thread *thread))
{
    sp_thread *found = NULL;
    sp__word_lock_acquire(&lock);
    for (struct sp__list *at = threads.next; at != &threads && found == NULL; at = at->next) {
        sp_thread *thread = sp__container_of(at, sp_thread, link);
        if (wanted(thread))
            found = thread;
    }
    if (found != NULL)
        sp__ref_up(&found->refs);
    sp__word_lock_release(&lock);
    return found;
}

/* Ended, without a handle through which anybody could join it. */
static bool is_uncollected(const sp_thread *thread)
{
    /* relaxed: a candidate; sp__thread_collect acquires.  A worker is collected by its pool. */
    return thread->handles == 0 && sp__load_relaxed(&thread->state) == SP__THREAD_ENDED &&
           !sp__runner_on_stack(thread->runner.id);
}

void sp__registry_collect(void)
{
    for (sp_thread *thread; (thread = find(is_uncollected)) != NULL;) {
        sp__thread_collect(thread);
        sp__thread_ref_down(thread);
    }
}

static bool is_waited_for(const sp_thread *thread)
{
    return !thread->daemon && !thread->worker && !sp__runner_on_stack(thread->runner.id);
}

static bool join_threads(int64_t deadline)
{
    for (sp_thread *thread; (thread = find(is_waited_for)) != NULL;) {
        bool ended = sp__thread_wait_ended(thread, deadline);
        if (ended)
            sp__thread_collect(thread);
        sp__thread_ref_down(thread);
        if (!ended)
            return false;
    }
    return true;
}

/* Does the calling thread run a task of this one's? */
static bool is_own(const struct sp__drainable *drainable)
{
    return sp__self()->pool == drainable->owner;
}

static struct sp__drainable *first_drainable(void)
{
    struct sp__drainable *found = NULL;
    sp__word_lock_acquire(&lock);
    for (struct sp__list *at = drainables.next; at != &drainables && found == NULL; at = at->next) {
        struct sp__drainable *drainable = sp__container_of(at, struct sp__drainable, link);
        if (!is_own(drainable) && drainable->retain(drainable))
            found = drainable;
    }
    sp__word_lock_release(&lock);
    return found;
}

bool sp_join_all(double timeout)
{
    int64_t deadline = sp__deadline(timeout);
    for (;;) {
        if (!join_threads(deadline))
            return false;
        struct sp__drainable *drainable = first_drainable();
        if (drainable == NULL)
            break;
        bool drained = drainable->drain(drainable, deadline);
        drainable->release(drainable);
        if (!drained)
            return false;
    }
    sp__registry_collect();
    return true;
}

/* A thread whose error nobody has looked at, with a reference. */
static sp_thread *first_failure(void)
{
    sp_thread *found = NULL;
    sp__word_lock_acquire(&lock);
    if (!sp__list_empty(&failures)) {
        found = sp__container_of(failures.next, sp_thread, failed);
        sp__ref_up(&found->refs);
    }
    sp__word_lock_release(&lock);
    return found;
}

/* Python's rule: what is not a daemon is waited for; then what nobody looked at is said. */
static void at_exit(void)
{
    (void)sp_join_all(SP_FOREVER);
    for (sp_thread *thread; (thread = first_failure()) != NULL;) {
        sp__thread_report(thread);
        sp__thread_ref_down(thread);
    }
    sp__unseen_report_all();
}

/* The child has one thread: whoever forked.  It joins nothing. */
static void after_fork(void) SP__UNCHECKED
{
    lock = (struct sp__word_lock){ 0 };
    for (struct sp__list *at = threads.next, *next; at != &threads; at = next) {
        sp_thread *thread = sp__container_of(at, sp_thread, link);
        next = at->next;
        at->next = at->prev = NULL; /* the registry's reference is kept: nobody else may free it */
        if (sp__runner_on_stack(thread->runner.id))
            continue; /* the one that forked lives on as the child's only thread */
        thread->lost_by_fork = sp__load_relaxed(&thread->state) == SP__THREAD_RUNNING; /* relaxed: alone in the child */
        sp__store_relaxed(&thread->state, SP__THREAD_GONE);                            /* relaxed: alone in the child */
    }
    sp__list_init(&threads);
    while (!sp__list_empty(&failures))
        sp__list_remove(failures.next); /* the parent reports its own */
    for (struct sp__list *at = drainables.next, *next; at != &drainables; at = next) {
        struct sp__drainable *drainable = sp__container_of(at, struct sp__drainable, link);
        next = at->next;
        at->next = at->prev = NULL;
        drainable->after_fork(drainable);
    }
    sp__list_init(&drainables);
    sp__unseen_after_fork();
    sp__excepthook_after_fork();
}

int sp__registry_prepare(void)
{
    int error = 0;
    sp__word_lock_acquire(&lock);
    if (!prepared) {
        error = sp__os_at_fork_child(after_fork);
        if (error == 0)
            error = sp__os_at_exit(at_exit);
        prepared = error == 0;
    }
    sp__word_lock_release(&lock);
    return error;
}
