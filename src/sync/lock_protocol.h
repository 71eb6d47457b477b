/* The protocol of a lock word: what contenders and the releasing owner do to it, and when they sleep and wake.

   In the common subset of C11 and C++03: the library compiles it over base/atomic.h and the parking lot, the model in
   tests/model over a checker's atomics.  Whoever includes it first defines
     sp__lock_word            the type of the word
     sp__load_relaxed, sp__cas_acquire, sp__cas_relaxed, sp__cas_release   as in base/atomic.h
     struct sp__lock_env      what a contender's waiting needs
   and the functions declared below as "environment".  README.md has the table of the word and the proof.

   SPDX-License-Identifier: MIT */
#ifndef SP_SYNC_LOCK_PROTOCOL_H
#define SP_SYNC_LOCK_PROTOCOL_H

#include <stdint.h>

/* Somebody may sleep for the lock: its release must look into the bucket. */
static const uint64_t SP__LOCK_PARKED = (uint64_t)1 << 63;
/* A contender that has waited long, the heir, wants the next release: the lock then is free for heirs only. */
static const uint64_t SP__LOCK_HANDOFF = (uint64_t)1 << 62;
/* The owner has somebody to wake when it releases the lock.  Set and taken down by the owner only. */
static const uint64_t SP__LOCK_OWES = (uint64_t)1 << 61;
/* The id of the owner. */
static const uint64_t SP__LOCK_OWNER = ((uint64_t)1 << 61) - 1;

struct sp__contender {
    sp__lock_word *word;
    uint64_t id;
    bool heir;  /* it has set HANDOFF, and nobody has taken it away as far as it knows */
    bool woken; /* a release has taken PARKED down to wake it: it puts PARKED back, for others may sleep */
};

enum sp__slept { SP__SLEPT_NOT, SP__SLEPT_WOKEN, SP__SLEPT_TOO_LONG };

/* ---- environment ---- */
/* The lock is held.  Pass a moment and look again (true), or go and sleep (false). */
static bool sp__lock_spin(struct sp__lock_env *env);
/* The lock is free, but for an heir.  Pass a moment and look again (true), or take it all the same (false). */
static bool sp__lock_yield(struct sp__lock_env *env);
/* Has this contender waited so long that it should be the heir? */
static bool sp__lock_starves(struct sp__lock_env *env);
/* Is there no time to wait? */
static bool sp__lock_is_late(struct sp__lock_env *env);
/* Sleep while the word is `seen`, among the heirs or among the others, until woken or out of time. */
static enum sp__slept sp__lock_sleep(struct sp__lock_env *env, sp__lock_word *word, uint64_t seen, bool heir);
/* Wake one of the others (false) or all heirs (true); in the same hold of the bucket lock call sp__lock_make_free. */
static bool sp__lock_wake(sp__lock_word *word, bool heirs);
/* Wake all heirs, and leave the word alone. */
static void sp__lock_wake_heirs(sp__lock_word *word);

/* ---- the owner ---- */

/* Under the bucket lock.  False: the word is not as the caller thought.  LAST TOUCH: the next owner may free the lock. */
static inline bool sp__lock_make_free(sp__lock_word *word, bool heirs)
{
    uint64_t seen = sp__load_relaxed(word); /* relaxed: the CAS decides; marks change without the bucket lock */
    do {
        if (heirs != ((seen & SP__LOCK_HANDOFF) != 0))
            return false; /* an heir has come or gone meanwhile: the right ones must be woken */
        /* release: pairs with the acquire in sp__lock_take.  Of the others one is woken, and brings PARKED back. */
    } while (!sp__cas_release(word, &seen, heirs ? seen & ~(SP__LOCK_OWNER | SP__LOCK_OWES) : 0));
    return true;
}

static inline void sp__lock_release_marked(sp__lock_word *word)
{
    /* relaxed: a mark that is not seen yet is seen under the bucket lock, or its maker sees the lock free */
    while (!sp__lock_wake(word, (sp__load_relaxed(word) & SP__LOCK_HANDOFF) != 0))
        continue;
}

/* ---- contenders ---- */

/* Take a lock that is free for us.  False: it is not; *seen says how it is. */
static inline bool sp__lock_take(struct sp__contender *self, uint64_t *seen, bool even_of_heirs)
{
    while ((*seen & SP__LOCK_OWNER) == 0 && (!(*seen & SP__LOCK_HANDOFF) || self->heir || even_of_heirs)) {
        uint64_t parked = self->woken ? SP__LOCK_PARKED : *seen & SP__LOCK_PARKED;
        /* acquire: pairs with the release of the last owner; HANDOFF is used up */
        if (sp__cas_acquire(self->word, seen, self->id | parked))
            return true;
    }
    return false;
}

/* Out of time: take down what was put up.  True: the lock came free at the last moment, and is ours. */
static inline bool sp__lock_give_up(struct sp__contender *self)
{
    uint64_t seen = sp__load_relaxed(self->word); /* relaxed: the CAS decides */
    for (;;) {
        if (sp__lock_take(self, &seen, false))
            return true;
        uint64_t next = self->heir ? seen & ~SP__LOCK_HANDOFF : seen;
        if (self->woken)
            next |= SP__LOCK_PARKED;
        /* relaxed: marks publish nothing */
        if (next == seen || sp__cas_relaxed(self->word, &seen, next))
            break;
    }
    if (self->heir)
        sp__lock_wake_heirs(self->word); /* another heir may have thought that the mark was its own */
    return false;
}

/* Put up the mark with which we want to sleep.  False: the word has changed. */
static inline bool sp__lock_mark(struct sp__contender *self, uint64_t *seen, uint64_t mark)
{
    if (*seen & mark)
        return true;
    if (!sp__cas_relaxed(self->word, seen, *seen | mark)) /* relaxed: marks publish nothing */
        return false;
    *seen |= mark;
    return true;
}

/* Sleep once.  pre: *seen has an owner.  False: out of time. */
static inline bool sp__lock_wait(struct sp__contender *self, struct sp__lock_env *env, uint64_t *seen)
{
    bool wants = self->woken && !(*seen & SP__LOCK_HANDOFF) && sp__lock_starves(env);
    if (!sp__lock_mark(self, seen, self->heir || wants ? SP__LOCK_HANDOFF : SP__LOCK_PARKED))
        return true;
    self->heir = self->heir || wants;
    if (wants)
        return true; /* it is awake: perhaps the release comes at once */
    enum sp__slept slept = sp__lock_sleep(env, self->word, *seen, self->heir);
    if (!self->heir)
        self->woken = slept == SP__SLEPT_WOKEN; /* else PARKED was there, or whoever took it down has woken another */
    return slept != SP__SLEPT_TOO_LONG;
}

/* Acquire.  False: out of time. */
static inline bool sp__lock_contend(struct sp__contender *self, struct sp__lock_env *env)
{
    uint64_t seen = sp__load_relaxed(self->word); /* relaxed: the CAS in sp__lock_take acquires */
    bool patient = true;
    while (!sp__lock_take(self, &seen, !patient)) {
        if (self->heir && !(seen & SP__LOCK_HANDOFF))
            self->heir = false; /* somebody took it; we may ask again */
        if (sp__lock_is_late(env))
            return sp__lock_give_up(self);
        patient = (seen & SP__LOCK_OWNER) != 0 || sp__lock_yield(env);
        if ((seen & SP__LOCK_OWNER) != 0 && !sp__lock_spin(env) && !sp__lock_wait(self, env, &seen))
            return sp__lock_give_up(self);
        seen = sp__load_relaxed(self->word); /* relaxed: as above */
    }
    return true;
}

#endif
