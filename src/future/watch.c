/* Who is told when a future is done.

   The list hangs in the future; its lock is one of a few, chosen by the future's address, so that a future has no lock of
   its own to carry.

   SPDX-License-Identifier: MIT */
#include "base/pause.h"
#include "future/future.h"
#include "os/lifecycle.h"
#include "os/os.h"
#include "park/word_lock.h"

enum { WATCH_LOCKS = 64, CACHE_LINE = 64 };

static struct watch_lock {
    struct sp__word_lock lock;
} __attribute__((aligned(CACHE_LINE))) watch_locks[WATCH_LOCKS];

/* A done callback.  When the future is done the callbacks are a chain, by `watch.next`; `call` is that of the first. */
struct callback {
    struct sp__watch watch;
    struct sp__nested_call call;
    sp_future *future; /* set in the first of a chain, with a reference */
    void (*fn)(sp_future *future, void *context);
    void *context;
};

static struct sp__word_lock *lock_of(const sp_future *future)
{
    uint64_t mixed = (uint64_t)(uintptr_t)future * UINT64_C(0x9E3779B97F4A7C15);
    return &watch_locks[mixed >> 58].lock;
}
_Static_assert(WATCH_LOCKS == 1 << (64 - 58), "lock_of takes as many bits as there are locks");

/* ---- the list of a future; under the watch lock ---- */

static void link_watch(sp_future *future, struct sp__watch *watch)
{
    watch->next = future->watches;
    watch->link = &future->watches;
    if (watch->next != NULL)
        watch->next->link = &watch->next;
    future->watches = watch;
}

static void unlink_watch(struct sp__watch *watch)
{
    if (watch->link == NULL)
        return;
    if (watch->next != NULL)
        watch->next->link = watch->link;
    *watch->link = watch->next;
    watch->link = NULL;
}

static enum sp__watched find_watch(const sp_future *future, const void *set, size_t most)
{
    const struct sp__watch *at = future->watches;
    for (; at != NULL && most > 0; at = at->next, most--)
        if (at->set == set)
            return SP__WATCHED_ALREADY;
    return at != NULL ? SP__WATCHED_BY_MANY : SP__WATCH_ADDED;
}

/* Who adds a watch to a future that is done tells it; the completion may still be on its way here. */
static void tell_once(struct sp__watch *watch)
{
    if (watch->told)
        return;
    watch->told = true;
    watch->notify(watch);
}

static void add_watch(sp_future *future, struct sp__watch *watch)
{
    link_watch(future, watch);
    if (!sp__word_mark(&future->word, SP__FUTURE_WATCHED))
        tell_once(watch);
}

/* ---- sets ---- */

void sp__watch_add(sp_future *future, struct sp__watch *watch)
{
    struct sp__word_lock *lock = lock_of(future);
    sp__word_lock_acquire(lock);
    add_watch(future, watch);
    sp__word_lock_release(lock);
}

enum sp__watched sp__watch_add_once(sp_future *future, struct sp__watch *watch, size_t most)
{
    struct sp__word_lock *lock = lock_of(future);
    sp__word_lock_acquire(lock);
    enum sp__watched found = find_watch(future, watch->set, most);
    if (found == SP__WATCH_ADDED)
        add_watch(future, watch);
    sp__word_lock_release(lock);
    return found;
}

void sp__watch_remove(sp_future *future, struct sp__watch *watch)
{
    struct sp__word_lock *lock = lock_of(future);
    sp__word_lock_acquire(lock);
    unlink_watch(watch);
    sp__word_lock_release(lock);
}

/* ---- callbacks ---- */

/* What a callback raises is no task's error. */
static void call(sp_future *future, void (*fn)(sp_future *, void *), void *context)
{
    struct sp__error_box *before = sp__error_set_aside();
    sp__os_call_firmly("a done callback", (void (*)(void))fn, future, context);
    sp__error_restore(before);
}

/* The future is done: call a chain of callbacks, then give up the reference. */
static void call_chain(struct sp__nested_call *nested)
{
    struct callback *callback = sp__container_of(nested, struct callback, call);
    sp_future *future = callback->future;
    for (struct sp__watch *next; callback != NULL;
         callback = next != NULL ? sp__container_of(next, struct callback, watch) : NULL) {
        next = callback->watch.next;
        SP__TELL_ACQUIRE(callback); /* its context is whoever's who added it */
        call(future, callback->fn, callback->context);
        sp__os_free(callback);
    }
    sp_future_release(future);
}

/* Under the watch lock: tell the sets, and take the callbacks out, oldest first. */
static struct sp__watch *tell_sets(sp_future *future)
{
    struct sp__watch *callbacks = NULL;
    for (struct sp__watch *watch = future->watches, *next; watch != NULL; watch = next) {
        next = watch->next;
        if (watch->notify != NULL) {
            tell_once(watch); /* stays linked: it tells that the set has this future */
            continue;
        }
        unlink_watch(watch);
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
    SP__PAUSE("future: sets told");
    if (callbacks == NULL) {
        sp_future_release(future);
        return;
    }
    struct callback *first = sp__container_of(callbacks, struct callback, watch);
    first->future = future;
    first->call.run = call_chain;
    sp__call_nested(&first->call);
}

void sp__watch_drop_callbacks(sp_future *future)
{
    for (struct sp__watch *at = future->watches, *next; at != NULL; at = next) {
        next = at->next;
        sp__os_free(sp__container_of(at, struct callback, watch));
    }
}

static void call_late(struct sp__nested_call *nested)
{
    struct callback *callback = sp__container_of(nested, struct callback, call);
    call(callback->future, callback->fn, callback->context);
}

/* The future is done: call the callback here and now; deep inside of other callbacks, when they have returned.  The future
   is kept for the call: the callback may release the reference by which we were called. */
static void call_done(sp_future *future, void (*fn)(sp_future *, void *), void *context)
{
    struct callback late = { .call = { .run = call_late }, .future = future, .fn = fn, .context = context };
    struct callback *kept = sp__nesting_is_full() ? sp__os_alloc(sizeof *kept) : NULL;
    (void)sp_future_retain(future);
    if (kept != NULL) {
        *kept = late;
        kept->call.run = call_chain;
        sp__call_nested(&kept->call);
        return;
    }
    if (sp__nesting_is_full())
        call_late(&late.call); /* without memory to put it off */
    else
        sp__call_nested(&late.call);
    sp_future_release(future);
}

/* False: no memory, or the future is done. */
static bool register_callback(sp_future *future, void (*fn)(sp_future *, void *), void *context, bool *ret_no_memory)
{
    struct callback *callback = sp__os_alloc(sizeof *callback);
    *ret_no_memory = callback == NULL;
    if (callback == NULL)
        return false;
    *callback = (struct callback){ .fn = fn, .context = context };
    SP__TELL_RELEASE(callback);
    SP__PAUSE("future: callback made");
    struct sp__word_lock *lock = lock_of(future);
    sp__word_lock_acquire(lock);
    bool waits = sp__word_mark(&future->word, SP__FUTURE_WATCHED);
    if (waits)
        link_watch(future, &callback->watch);
    sp__word_lock_release(lock); /* LAST TOUCH of the future: it may end, and the callback release it */
    if (!waits)
        sp__os_free(callback);
    return waits;
}

void sp_future_add_done_callback(sp_future *future, void (*fn)(sp_future *future, void *context), void *context)
{
    bool no_memory = false;
    if (future == NULL || (!sp__future_is_done(future) && register_callback(future, fn, context, &no_memory)))
        return;
    if (no_memory)
        (void)sp__await(future, SP__NEVER); /* the call cannot fail: it waits itself */
    call_done(future, fn, context);
}

/* ---- fork ---- */

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

static void unlock_in_child(void)
{
    unlock_all();
    sp__places_after_fork();
}

const struct sp__fork_handler sp__fork_watches = { .before = lock_all,
                                                   .in_parent = unlock_all,
                                                   .in_child = unlock_in_child };
