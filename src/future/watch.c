/* Who is told when a future is done.

   The list hangs in the future; its lock is one of a few, chosen by the future's address, so that a future has no lock of
   its own to carry.

   SPDX-License-Identifier: MIT */
#include "future/future.h"
#include "os/lifecycle.h"
#include "os/os.h"
#include "park/word_lock.h"

enum { WATCH_LOCKS = 64, CACHE_LINE = 64 };

static struct watch_lock {
    struct sp__word_lock lock;
} __attribute__((aligned(CACHE_LINE))) watch_locks[WATCH_LOCKS];

struct callback {
    struct sp__watch watch;
    void (*fn)(sp_future *future, void *context);
    void *context;
};

static struct sp__word_lock *lock_of(const sp_future *future)
{
    uint64_t mixed = (uint64_t)(uintptr_t)future * UINT64_C(0x9E3779B97F4A7C15);
    return &watch_locks[mixed >> 58].lock;
}
_Static_assert(WATCH_LOCKS == 1 << (64 - 58), "lock_of takes as many bits as there are locks");

/* Under the watch lock: does this set watch the future? */
static bool is_watched_by(const sp_future *future, const void *set)
{
    for (const struct sp__watch *at = future->watches; at != NULL; at = at->next)
        if (at->set == set)
            return true;
    return false;
}

/* Under the watch lock. */
static void link_watch(sp_future *future, struct sp__watch *watch)
{
    watch->next = future->watches;
    future->watches = watch;
}

/* Under the watch lock. */
static void unlink_watch(sp_future *future, const struct sp__watch *watch)
{
    struct sp__watch **at = &future->watches;
    while (*at != NULL && *at != watch)
        at = &(*at)->next;
    if (*at != NULL)
        *at = watch->next;
}

/* Under the watch lock.  Who adds a watch to a future that is done tells it; the completion may still be on its way here. */
static void tell_once(struct sp__watch *watch)
{
    if (watch->told)
        return;
    watch->told = true;
    watch->notify(watch);
}

bool sp__watch_add(sp_future *future, struct sp__watch *watch)
{
    struct sp__word_lock *lock = lock_of(future);
    sp__word_lock_acquire(lock);
    bool fresh = !is_watched_by(future, watch->set);
    if (fresh) {
        link_watch(future, watch);
        if (!sp__word_mark(&future->word, SP__FUTURE_WATCHED))
            tell_once(watch);
    }
    sp__word_lock_release(lock);
    return fresh;
}

void sp__watch_remove(sp_future *future, struct sp__watch *watch)
{
    struct sp__word_lock *lock = lock_of(future);
    sp__word_lock_acquire(lock);
    unlink_watch(future, watch);
    sp__word_lock_release(lock);
}

/* What a callback raises is no task's error. */
static void call(sp_future *future, void (*fn)(sp_future *, void *), void *context)
{
    struct sp__error_box *before = sp__error_set_aside();
    fn(future, context);
    sp__error_restore(before);
}

/* Under the watch lock: tell the sets, and take the callbacks out, oldest first. */
static struct sp__watch *tell_sets(sp_future *future)
{
    struct sp__watch *callbacks = NULL;
    for (struct sp__watch **at = &future->watches; *at != NULL;) {
        struct sp__watch *watch = *at;
        if (watch->notify != NULL) {
            tell_once(watch); /* stays linked: it tells that the set has this future */
            at = &watch->next;
            continue;
        }
        *at = watch->next;
        watch->next = callbacks;
        callbacks = watch;
    }
    return callbacks;
}

void sp__watch_tell(sp_future *future)
{
    struct sp__word_lock *lock = lock_of(future);
    sp__word_lock_acquire(lock);
    struct sp__watch *callbacks = tell_sets(future);
    sp__word_lock_release(lock);
    for (struct sp__watch *next; callbacks != NULL; callbacks = next) {
        next = callbacks->next;
        struct callback *callback = sp__container_of(callbacks, struct callback, watch);
        call(future, callback->fn, callback->context);
        sp__os_free(callback);
    }
}

/* Around a fork no list of watches changes. */
static void lock_all(void) SP__UNCHECKED
{
    for (unsigned i = 0; i < WATCH_LOCKS; i++)
        sp__word_lock_acquire(&watch_locks[i].lock);
}

static void unlock_all(void) SP__UNCHECKED
{
    for (unsigned i = 0; i < WATCH_LOCKS; i++)
        sp__word_lock_release(&watch_locks[i].lock);
}

const struct sp__fork_handler sp__fork_watches = { .before = lock_all,
                                                   .in_parent = unlock_all,
                                                   .in_child = unlock_all };

void sp__watch_drop_callbacks(sp_future *future)
{
    for (struct sp__watch *at = future->watches, *next; at != NULL; at = next) {
        next = at->next;
        sp__os_free(sp__container_of(at, struct callback, watch));
    }
}

void sp_future_add_done_callback(sp_future *future, void (*fn)(sp_future *future, void *context), void *context)
{
    if (future == NULL)
        return;
    if (!sp__future_is_done(future)) {
        struct callback *callback = sp__os_alloc(sizeof *callback);
        if (callback == NULL) {
            (void)sp__await(future, SP__NEVER); /* the call cannot fail: without memory it waits itself */
            call(future, fn, context);
            return;
        }
        *callback = (struct callback){ .fn = fn, .context = context };
        struct sp__word_lock *lock = lock_of(future);
        sp__word_lock_acquire(lock);
        bool waits = sp__word_mark(&future->word, SP__FUTURE_WATCHED);
        if (waits)
            link_watch(future, &callback->watch);
        sp__word_lock_release(lock);
        if (waits)
            return;
        sp__os_free(callback);
    }
    call(future, fn, context);
}
