/* The protocol of sp_once: who runs the function, and how the others wait for its end.

   In the common subset of C11 and C++03: the library compiles it over base/atomic.h and the parking lot, the model in
   tests/model over a checker's atomics.  Whoever includes it first defines
     sp__once_word            the type of the word
     sp__load_acquire, sp__cas_acquire, sp__cas_relaxed, sp__exchange_release   as in base/atomic.h
     SP__PAUSE                as in base/pause.h
   and the functions declared below as "environment".

   word                 meaning
   0                    new
   id [+ PARKED]        runner `id` runs the function; PARKED: others may sleep until it has returned
   DONE                 the function has returned; never changes again

   SPDX-License-Identifier: MIT */
#ifndef SP_SYNC_ONCE_PROTOCOL_H
#define SP_SYNC_ONCE_PROTOCOL_H

#include <stdint.h>

static const uint64_t SP__ONCE_DONE = (uint64_t)1 << 62;
static const uint64_t SP__ONCE_PARKED = (uint64_t)1 << 63;

/* ---- environment ---- */
/* Sleep while the word is `marked`, until woken or for less long. */
static void sp__once_sleep(sp__once_word *word, uint64_t marked);
/* Wake all who sleep.  `word` is only a number. */
static void sp__once_wake(const sp__once_word *word);
/* The id of the caller, which has found the word as `seen`: if it runs the function itself that is reported. */
static uint64_t sp__once_self(const sp__once_word *word, uint64_t seen);

/* The function has returned, or, with `next` 0, it is to be run again. */
static inline void sp__once_end(sp__once_word *word, uint64_t next)
{
    /* release: pairs with the acquires in sp__once_begin.  LAST TOUCH: below `word` is a number. */
    uint64_t was = sp__exchange_release(word, next);
    SP__PAUSE("once: done");
    if (was & SP__ONCE_PARKED)
        sp__once_wake(word);
}

static inline void sp__once_await(sp__once_word *word, uint64_t seen)
{
    uint64_t marked = seen | SP__ONCE_PARKED;
    SP__PAUSE("once: runs");
    /* relaxed: the mark publishes nothing */
    if (seen != marked && !sp__cas_relaxed(word, &seen, marked))
        return;
    SP__PAUSE("once: marked");
    sp__once_sleep(word, marked);
}

/* True: the caller is to run the function.  False: it has been run. */
static inline bool sp__once_begin(sp__once_word *word)
{
    uint64_t seen;
    while ((seen = sp__load_acquire(word)) != SP__ONCE_DONE) { /* acquire: pairs with the release in sp__once_end */
        uint64_t self = sp__once_self(word, seen);
        /* acquire: pairs with the release of a run that came to nothing, perhaps since we looked */
        if (seen == 0 && sp__cas_acquire(word, &seen, self))
            return true;
        if (seen != 0 && seen != SP__ONCE_DONE)
            sp__once_await(word, seen);
    }
    return false;
}

#endif
