/* sp_once: new, running, done.

   word                 meaning
   0                    new
   id [+ PARKED]        runner `id` runs the function; PARKED: others may sleep until it is done
   DONE                 the function has returned; never changes again

   SPDX-License-Identifier: MIT */
#include <spool/sync.h>

#include "os/os.h"
#include "park/wait_graph.h"
#include "sync/lock_word.h"

_Static_assert(sizeof(sp_once) == 8, "programs are compiled against it");

#define DONE (UINT64_C(1) << 62)
#define PARKED (UINT64_C(1) << 63)

struct once_wait {
    uint64_t *word;
    uint64_t seen;
};

static bool still_running(void *context)
{
    const struct once_wait *wait = context;
    return sp__load_relaxed(wait->word) == wait->seen; /* relaxed: the caller's loop acquires */
}

static void run(uint64_t *word, void (*fn)(void *context), void *context)
{
    void *exception = NULL;
    (void)sp__os_call_catching((void (*)(void))fn, context, NULL, &exception);
    /* release: pairs with the acquire in sp_once_call.  LAST TOUCH: below `word` is a number. */
    if (sp__exchange_release(word, exception == NULL ? DONE : 0) & PARKED)
        sp__unpark(
            &(struct sp__wake){ .address = word, .kind = SP__ONCE, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
    if (exception != NULL) /* it is new again, as std::once_flag would be */
        sp__os_exception_go_on(exception);
}

/* Who runs it; 0 when it is done. */
static uint64_t owner_of(const void *word)
{
    return sp__lock_word_owner(word);
}

static void sleep_until_done(uint64_t *word, uint64_t seen)
{
    uint64_t marked = seen | PARKED;
    /* relaxed: the mark publishes nothing */
    if (seen != marked && !sp__cas_relaxed(word, &seen, marked))
        return;
    struct once_wait wait = { word, marked };
    struct sp__edge edge = { .does = "waits for the once", .object = word, .owner = owner_of };
    sp__park(&(struct sp__wait){ .address = word,
                                 .kind = SP__ONCE,
                                 .must_wait = still_running,
                                 .context = &wait,
                                 .deadline = SP__NEVER,
                                 .edge = &edge });
}

void sp_once_call(sp_once *once, void (*fn)(void *context), void *context)
{
    /* acquire: pairs with the release in run */
    for (uint64_t seen; (seen = sp__load_acquire(&once->sp_word_)) != DONE;) {
        uint64_t self = sp__self_id();
        if (sp__runner_on_stack(seen & SP__LOCK_ID))
            sp__deadlock("%s calls the once at %p from inside its own function", sp__runner_name(sp__self()),
                         (void *)once);
        /* relaxed: nothing was done before it was new */
        if (seen == 0 && sp__cas_relaxed(&once->sp_word_, &seen, self)) {
            run(&once->sp_word_, fn, context);
            return;
        }
        if (seen != 0 && seen != DONE)
            sleep_until_done(&once->sp_word_, seen);
    }
}
