/* All threads, and the end of the process.

   SPDX-License-Identifier: MIT */
#include <spool/time.h>

#include "base/pause.h"
#include "base/refcount.h"
#include "os/lifecycle.h"
#include "park/deadline.h"
#include "park/word_lock.h"
#include "thread/thread.h"

static struct sp__word_lock lock;
static struct sp__list threads SP__GUARDED_BY(lock) = { &threads, &threads };
static struct sp__list orphans SP__GUARDED_BY(lock) = { &orphans, &orphans };
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
    if (!thread->listed)
        sp__list_append(&threads, &thread->link);
    thread->listed = true; /* also when it has ended and was taken out again */
    sp__word_lock_release(&lock);
}

void sp__registry_remove(sp_thread *thread)
{
    sp__word_lock_acquire(&lock);
    bool linked = sp__list_linked(&thread->link);
    sp__list_remove(&thread->link);
    sp__list_remove(&thread->orphan);
    sp__word_lock_release(&lock);
    if (linked)
        sp__thread_ref_down(thread);
}

void sp__registry_note_orphan(sp_thread *thread) SP__UNCHECKED
{
    /* One that was collected is in no list any more. */
    if (!thread->foreign && !thread->exits && sp__list_linked(&thread->link) && !sp__list_linked(&thread->orphan))
        sp__list_append(&orphans, &thread->orphan);
}

bool sp__registry_end(sp_thread *thread)
{
    sp__word_lock_acquire(&lock);
    if (thread->error != NULL && !thread->worker && thread->status != SP_CANCELLED)
        sp__list_append(&failures, &thread->failed);
    bool unheld = thread->handles == 0;
    /* release: publishes status, result and error; pairs with the acquire in wait_for_state */
    sp__store_release(&thread->state, SP__THREAD_ENDED);
    if (unheld)
        sp__registry_note_orphan(thread);
    sp__word_lock_release(&lock);
    return unheld;
}

void sp__registry_note_exit(sp_thread *thread)
{
    sp__word_lock_acquire(&lock);
    thread->exits = true;
    /* release: as in sp__registry_end */
    sp__store_release(&thread->state, SP__THREAD_GONE);
    sp__word_lock_release(&lock);
}

bool sp__registry_take_failed(sp_thread *thread)
{
    sp__word_lock_acquire(&lock);
    /* in the child of a fork the parent reports its own */
    bool linked = !sp__thread_is_inherited(thread) && sp__list_linked(&thread->failed);
    if (linked)
        sp__list_remove(&thread->failed);
    sp__word_lock_release(&lock);
    return linked;
}

void sp__drainable_add(struct sp__drainable *drainable)
{
    static uint64_t added; /* guarded by lock */
    sp__word_lock_acquire(&lock);
    drainable->number = ++added;
    sp__list_append(&drainables, &drainable->link);
    sp__word_lock_release(&lock);
}

void sp__drainable_remove(struct sp__drainable *drainable)
{
    sp__word_lock_acquire(&lock);
    sp__list_remove(&drainable->link);
    sp__word_lock_release(&lock);
}

/* The orphan that has waited longest, out of the list, with a reference. */
static sp_thread *take_orphan(void)
{
    sp_thread *found = NULL;
    sp__word_lock_acquire(&lock);
    struct sp__list *first = sp__list_pop_front(&orphans);
    if (first != NULL) {
        found = sp__container_of(first, sp_thread, orphan);
        sp__ref_up(&found->refs);
    }
    sp__word_lock_release(&lock);
    return found;
}

static void put_back(sp_thread *thread)
{
    sp__word_lock_acquire(&lock);
    sp__registry_note_orphan(thread);
    sp__word_lock_release(&lock);
}

/* Is there nothing to wait for but its owner's and the system's part of its end? */
static bool ends_soon(const sp_thread *thread)
{
    /* acquire: pairs with the release in sp__thread_leave */
    return sp__load_acquire(&thread->state) == SP__THREAD_LEFT && !sp__thread_is_caller(thread);
}

/* The first such thread in the list, with a reference; NULL: there is none. */
static sp_thread *first_thread(bool (*is_such)(const sp_thread *))
{
    sp_thread *found = NULL;
    sp__word_lock_acquire(&lock);
    for (struct sp__list *at = threads.next; at != &threads && found == NULL; at = at->next) {
        sp_thread *thread = sp__container_of(at, sp_thread, link);
        if (is_such(thread))
            found = thread;
    }
    if (found != NULL)
        sp__ref_up(&found->refs);
    sp__word_lock_release(&lock);
    return found;
}

/* Those that nobody joins, and those that a pool, about to be freed, is to let go. */
void sp__registry_finish_ending(void)
{
    for (sp_thread *thread; (thread = first_thread(ends_soon)) != NULL; sp__thread_ref_down(thread))
        (void)sp__thread_finish(thread, SP__NEVER);
    sp__registry_collect();
}

void sp__registry_collect(void)
{
    enum { BUSY = 2 }; /* more than one for each that comes, so that they do not pile up behind one that ends slowly */
    sp_thread *thread;
    for (int busy = 0; busy < BUSY && (thread = take_orphan()) != NULL;) {
        if (!sp__thread_try_finish(thread)) {
            put_back(thread);
            busy++;
        }
        sp__thread_ref_down(thread);
    }
}

static bool is_waited_for(const sp_thread *thread)
{
    return !thread->daemon && !thread->worker && !thread->foreign && !thread->exits && !sp__thread_is_caller(thread);
}

static bool join_threads(int64_t deadline)
{
    for (sp_thread *thread; (thread = first_thread(is_waited_for)) != NULL;) {
        bool finished = sp__thread_finish(thread, deadline);
        sp__thread_ref_down(thread);
        if (!finished)
            return false;
    }
    return true;
}

size_t sp__registry_list(sp_thread **ret_threads, size_t n)
{
    size_t count = 0;
    sp__word_lock_acquire(&lock);
    for (struct sp__list *at = threads.next; at != &threads; at = at->next) {
        sp_thread *thread = sp__container_of(at, sp_thread, link);
        /* relaxed: a snapshot */
        if (thread->internal || (!thread->exits && !sp__is_alive(sp__load_relaxed(&thread->state))))
            continue;
        if (count < n) {
            sp__thread_add_handle(thread);
            ret_threads[count] = thread;
        }
        count++;
    }
    sp__word_lock_release(&lock);
    return count;
}

unsigned sp__registry_count_ours(bool *ret_settled)
{
    unsigned count = 0;
    *ret_settled = true;
    sp__word_lock_acquire(&lock);
    for (struct sp__list *at = threads.next; at != &threads; at = at->next) {
        const sp_thread *thread = sp__container_of(at, sp_thread, link);
        if (thread->foreign)
            continue;
        count++;
        if (sp__load_relaxed(&thread->state) != SP__THREAD_RUNNING) /* relaxed: a snapshot */
            *ret_settled = false;
    }
    sp__word_lock_release(&lock);
    return count;
}

/* Does the calling thread run a task of this one's? */
static bool is_own(const struct sp__drainable *drainable)
{
    return sp__runner_of_pool(drainable->owner) != NULL;
}

/* The first that was added after the one with that number; 0: the first of all. */
static struct sp__drainable *next_drainable(uint64_t number)
{
    struct sp__drainable *found = NULL;
    sp__word_lock_acquire(&lock);
    for (struct sp__list *at = drainables.next; at != &drainables && found == NULL; at = at->next) {
        struct sp__drainable *drainable = sp__container_of(at, struct sp__drainable, link);
        if (drainable->number > number && !is_own(drainable) && drainable->retain(drainable))
            found = drainable;
    }
    sp__word_lock_release(&lock);
    return found;
}

/* Under the lock: is it of those that process exit waits for, a worker or not, and can its task still do something? */
static bool may_work(const sp_thread *thread)
{
    /* relaxed: a snapshot */
    return !thread->daemon && !thread->foreign && !thread->exits &&
           sp__load_relaxed(&thread->state) < SP__THREAD_LATE && !sp__thread_is_caller(thread);
}

bool sp__registry_all_sleep(uint64_t *ret_sleeps)
{
    uint64_t sleeps = 0;
    bool all = true;
    sp__word_lock_acquire(&lock);
    for (struct sp__list *at = threads.next; at != &threads && all; at = at->next) {
        const sp_thread *thread = sp__container_of(at, sp_thread, link);
        if (!may_work(thread))
            continue;
        uint64_t its = sp__load_relaxed(&thread->own.sleeps); /* relaxed: a snapshot */
        all = its % 2 == 1;
        sleeps += its + thread->ident;
    }
    sp__word_lock_release(&lock);
    *ret_sleeps = sleeps;
    return all;
}

/* Wait for each pool, and for the timers, until it has nothing to do.  False: the deadline passed. */
static bool await_rest(int64_t deadline)
{
    uint64_t number = 0;
    for (struct sp__drainable *drainable; (drainable = next_drainable(number)) != NULL;) {
        number = drainable->number;
        bool rests = drainable->rest(drainable, deadline);
        SP__PAUSE("registry: a pool rests");
        drainable->release(drainable);
        if (!rests)
            return false;
    }
    return true;
}

/* Wait until nothing runs, and close nothing: if the time is up all goes on as before. */
static bool come_to_rest(int64_t deadline)
{
    do {
        if (!join_threads(deadline) || !await_rest(deadline))
            return false;
    } while (!await_rest(SP__PASSED)); /* a pool may have given another one something to do */
    return true;
}

bool sp_join_all(double timeout)
{
    int64_t deadline = sp__deadline(timeout);
    return (deadline == SP__NEVER || come_to_rest(deadline)) && sp__join_all(deadline);
}

bool sp__join_all(int64_t deadline)
{
    for (;;) {
        if (!join_threads(deadline))
            return false;
        struct sp__drainable *drainable = next_drainable(0);
        if (drainable == NULL)
            break;
        bool drained = drainable->drain(drainable, deadline);
        drainable->release(drainable);
        if (!drained)
            return false;
    }
    sp__registry_finish_ending();
    return true;
}

sp_thread *sp__registry_first_failure(void)
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

/* ---- around a fork ---- */

static void before_fork(void) SP__UNCHECKED
{
    sp__word_lock_acquire(&lock);
    sp__excepthook_before_fork();
}

static void after_fork_in_parent(void) SP__UNCHECKED
{
    sp__excepthook_after_fork();
    sp__word_lock_release(&lock);
}

/* The child has one thread: whoever forked.  It joins nothing. */
static void after_fork_in_child(void) SP__UNCHECKED
{
    sp__list_init(&threads);
    sp__list_init(&orphans);
    sp__list_init(&failures);
    sp__timers_after_fork();
    sp__exit_after_fork();
    sp__list_init(&drainables);
    after_fork_in_parent();
    sp__main_after_fork();
}

const struct sp__fork_handler sp__fork_thread = { .before = before_fork,
                                                  .in_parent = after_fork_in_parent,
                                                  .in_child = after_fork_in_child };

void sp__registry_exited(void)
{
    sp__word_lock_acquire(&lock);
    prepared = false;
    sp__word_lock_release(&lock);
}

int sp__registry_prepare(void)
{
    int error = sp__os_watch_forks();
    if (error != 0)
        return error;
    sp__word_lock_acquire(&lock);
    if (!prepared) {
        error = sp__os_at_exit(sp__exit);
        prepared = error == 0;
    }
    sp__word_lock_release(&lock);
    return error;
}
