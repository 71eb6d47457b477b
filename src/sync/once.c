/* sp_once: new, running, done.

   word                 meaning
   0                    new
   id [+ PARKED]        runner `id` runs the function; PARKED: others may sleep until it is done
   DONE                 the function has returned; never changes again

   SPDX-License-Identifier: MIT */
#include <spool/sync.h>

#include "os/os.h"
#include "sync/lock_word.h"

_Static_assert(sizeof(sp_once) == 8, "programs are compiled against it");

#define DONE (UINT64_C(1) << 62)

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
    fn(context);
    /* release: pairs with the acquire in sp_once_call.  LAST TOUCH: below `word` is a number. */
    if (sp__exchange_release(word, DONE) & SP__LOCK_PARKED)
        sp__unpark(
            &(struct sp__wake){ .address = word, .kind = SP__ONCE, .most = SIZE_MAX, .token = SP__PARK_RECHECK });
}

static void sleep_until_done(uint64_t *word, uint64_t seen)
{
    uint64_t marked = seen | SP__LOCK_PARKED;
    /* relaxed: the mark publishes nothing */
    if (seen != marked && !sp__cas_relaxed(word, &seen, marked))
        return;
    struct once_wait wait = { word, marked };
    sp__park(&(struct sp__wait){
        .address = word, .kind = SP__ONCE, .must_wait = still_running, .context = &wait, .deadline = SP__NEVER });
}

void sp_once_call(sp_once *once, void (*fn)(void *context), void *context)
{
    uint64_t *word = &once->sp_word_, seen;
    /* acquire: pairs with the release in run; what fn did happens before we return */
    while ((seen = sp__load_acquire(word)) != DONE) {
        if (seen == 0) {
            /* relaxed: taking the role publishes nothing */
            if (sp__cas_relaxed(word, &seen, sp__self()->id)) {
                run(word, fn, context);
                return;
            }
            continue;
        }
        if (sp__runner_on_stack(seen & SP__LOCK_OWNER))
            sp__deadlock("%s calls the once at %p from inside its own function", sp__self()->name, (void *)once);
        sleep_until_done(word, seen);
    }
}
