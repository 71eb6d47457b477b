/* Who is told when a future is done.

   The list hangs in the future; its lock is one of a few, chosen by the future's address, so that a future has no lock of
   its own to carry.

   SPDX-License-Identifier: MIT */
#include <string.h>

#include "future/future.h"
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

/* Under the watch lock: make sure that the completion looks at the list.  False: it is done already. */
static bool announce(sp_future *future)
{
    /* acquire: pairs with the completion */
    uint32_t seen = sp__load_acquire(&future->state);
    while ((seen & SP__PHASE_MASK) < SP__FINISHED) {
        if (seen & SP__FUTURE_WATCHED)
            return true;
        /* acq_rel: on failure the value found is acquired, it may be terminal */
        if (sp__cas_acq_rel(&future->state, &seen, seen | SP__FUTURE_WATCHED))
            return true;
    }
    return false;
}

/* Under the watch lock: does this set watch the future? */
static bool is_watched_by(const sp_future *future, const void *set)
{
    for (const struct sp__list *at = future->watches.next; at != &future->watches; at = at->next)
        if (sp__container_of(at, const struct sp__watch, node)->set == set)
            return true;
    return false;
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
        sp__list_append(&future->watches, &watch->node);
        if (!announce(future))
            tell_once(watch);
    }
    sp__word_lock_release(lock);
    return fresh;
}

void sp__watch_remove(sp_future *future, struct sp__watch *watch)
{
    struct sp__word_lock *lock = lock_of(future);
    sp__word_lock_acquire(lock);
    sp__list_remove(&watch->node);
    sp__word_lock_release(lock);
}

static void call(sp_future *future, struct callback *callback)
{
    callback->fn(future, callback->context);
    sp__os_free(callback);
}

void sp__watch_tell(sp_future *future)
{
    struct sp__list callbacks;
    sp__list_init(&callbacks);
    struct sp__word_lock *lock = lock_of(future);
    sp__word_lock_acquire(lock);
    for (struct sp__list *at = future->watches.next, *next; at != &future->watches; at = next) {
        struct sp__watch *watch = sp__container_of(at, struct sp__watch, node);
        next = at->next;
        if (watch->notify != NULL) {
            tell_once(watch); /* stays linked: it tells that the set has this future */
            continue;
        }
        sp__list_remove(at);
        sp__list_append(&callbacks, at);
    }
    sp__word_lock_release(lock);
    for (struct sp__list *at; (at = sp__list_pop_front(&callbacks)) != NULL;)
        call(future, sp__container_of(at, struct callback, watch.node));
}

void sp__watch_after_fork(void)
{
    memset(watch_locks, 0, sizeof watch_locks);
}

void sp__watch_drop_callbacks(sp_future *future)
{
    for (struct sp__list *at; (at = sp__list_pop_front(&future->watches)) != NULL;)
        sp__os_free(sp__container_of(at, struct callback, watch.node));
}

void sp_future_add_done_callback(sp_future *future, void (*fn)(sp_future *future, void *context), void *context)
{
    if (future == NULL)
        return;
    if (!sp__future_is_done(future)) {
        struct callback *callback = sp__os_alloc(sizeof *callback);
        if (callback == NULL) {
            (void)sp__await(future, SP__NEVER); /* the call cannot fail: without memory it waits itself */
            fn(future, context);
            return;
        }
        *callback = (struct callback){ .fn = fn, .context = context };
        struct sp__word_lock *lock = lock_of(future);
        sp__word_lock_acquire(lock);
        bool waits = announce(future);
        if (waits)
            sp__list_append(&future->watches, &callback->watch.node);
        sp__word_lock_release(lock);
        if (waits)
            return;
        sp__os_free(callback);
    }
    fn(future, context);
}
