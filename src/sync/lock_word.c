/* The slow paths of lock and reentrant lock.

   SPDX-License-Identifier: MIT */
#include "sync/lock_word.h"

#include <inttypes.h>

struct attempt {
    uint64_t *word;
    uint64_t seen; /* the word with which we want to sleep: owned, PARKED */
};

static bool still_owned(void *context)
{
    const struct attempt *attempt = context;
    /* relaxed: the bucket lock orders us with a release that unlinks; the value alone decides */
    return sp__load_relaxed(attempt->word) == attempt->seen;
}

static void nobody_sleeps(void *context, bool more)
{
    const struct attempt *attempt = context;
    if (!more)
        sp__and_relaxed(attempt->word, ~SP__LOCK_PARKED); /* relaxed: the mark publishes nothing */
}

/* Sleep until the lock may be free.  False: the deadline passed. */
static bool sleep_for(uint64_t *word, uint64_t seen, int64_t deadline)
{
    if (!(seen & SP__LOCK_PARKED)) {
        uint64_t marked = seen | SP__LOCK_PARKED;
        if (!sp__cas_relaxed(word, &seen, marked)) /* relaxed: the mark publishes nothing */
            return true;
        seen = marked;
    }
    struct attempt attempt = { word, seen };
    return sp__park(&(struct sp__wait){ .address = word,
                                        .kind = SP__LOCK,
                                        .must_wait = still_owned,
                                        .on_timeout = nobody_sleeps,
                                        .context = &attempt,
                                        .deadline = deadline }) != SP__PARK_TIMEOUT;
}

bool sp__lock_word_acquire_slow(uint64_t *word, uint64_t id, int64_t deadline, const char *what)
{
    for (;;) {
        uint64_t seen = sp__load_relaxed(word); /* relaxed: the CAS below acquires */
        if ((seen & SP__LOCK_OWNER) == 0) {
            /* acquire: as in sp__lock_word_try; PARKED stays as it is */
            if (sp__cas_acquire(word, &seen, seen | id))
                return true;
            continue;
        }
        if (deadline == SP__PASSED)
            return false;
        if (deadline == SP__NEVER && sp__runner_on_stack(seen & SP__LOCK_OWNER))
            sp__deadlock("%s (id %" PRIu64 ") waits for the %s at %p, which it holds itself", sp__self()->name, id,
                         what, (void *)word);
        if (!sleep_for(word, seen, deadline))
            return false;
    }
}

static void make_free(void *context, size_t woken, bool more)
{
    (void)woken;
    /* release: pairs with the acquire of the next owner.  LAST TOUCH: it may free the lock. */
    sp__store_release((uint64_t *)context, more ? SP__LOCK_PARKED : 0);
}

void sp__lock_word_release_slow(uint64_t *word)
{
    sp__unpark(&(struct sp__wake){ .address = word,
                                   .kind = SP__LOCK,
                                   .most = 1,
                                   .token = SP__PARK_RECHECK,
                                   .commit = make_free,
                                   .context = word });
}
