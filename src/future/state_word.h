/* The one word of a future: its phase, who must be told of the end, and how many references there are.

   In the common subset of C11 and C++03: the library compiles it over base/atomic.h, the model in tests/model over a
   checker's atomics.  Whoever includes it first defines
     sp__state_word           an atomic 64-bit word
     sp__load_relaxed, sp__load_acquire, sp__add_relaxed, sp__sub_acq_rel, sp__or_relaxed, sp__cas_acq_rel
                              as in base/atomic.h
   README.md has the tables and the proofs.

   SPDX-License-Identifier: MIT */
#ifndef SP_FUTURE_STATE_WORD_H
#define SP_FUTURE_STATE_WORD_H

#include <stdbool.h>
#include <stdint.h>

/* Phases, in the low bits. */
enum sp__phase {
    SP__PENDING,
    SP__RUNNING,
    SP__SETTLING,
    SP__FINISHED, /* from here on terminal */
    SP__FAILED,
    SP__CANCELLED
};
#define SP__PHASE_MASK ((uint64_t)7)
#define SP__FUTURE_PARKED ((uint64_t)8)
#define SP__FUTURE_WATCHED ((uint64_t)16)
#define SP__FUTURE_CANCEL_REQUESTED ((uint64_t)32)
#define SP__FUTURE_SEEN ((uint64_t)64)
#define SP__FUTURE_TAKEN ((uint64_t)128)
#define SP__FUTURE_REF ((uint64_t)1 << 32) /* one reference; their number is the upper half */

static inline enum sp__phase sp__phase_of(uint64_t seen)
{
    return (enum sp__phase)(seen & SP__PHASE_MASK);
}

static inline bool sp__is_terminal(uint64_t seen)
{
    return (seen & SP__PHASE_MASK) >= SP__FINISHED;
}

static inline uint64_t sp__refs_of(uint64_t seen)
{
    return seen / SP__FUTURE_REF;
}

/* From one phase that is not terminal to another, keeping the rest.  False: it was in a different phase. */
static inline bool sp__word_move(sp__state_word *word, enum sp__phase from, enum sp__phase to)
{
    uint64_t seen = sp__load_relaxed(word); /* relaxed: the CAS decides */
    while (sp__phase_of(seen) == from)
        /* acq_rel: a claim sees what was stored before; what the claimer does comes after */
        if (sp__cas_acq_rel(word, &seen, (seen & ~SP__PHASE_MASK) | (uint64_t)to))
            return true;
    return false;
}

/* Publish a terminal phase.  With `drop` one reference of the caller's goes in the same step, unless somebody must be told:
   then the caller keeps it until it has told everybody, and drops it then.  Without `drop`, but with WATCHED, the caller gets
   one for that time: a callback may give up the last of the others.  False: it was in a different phase.  *ret_seen is the
   word before. */
static inline bool sp__word_finish(sp__state_word *word, enum sp__phase from, enum sp__phase terminal, bool drop,
                                   uint64_t *ret_seen)
{
    const uint64_t to_tell = SP__FUTURE_PARKED | SP__FUTURE_WATCHED;
    uint64_t seen = sp__load_relaxed(word), next; /* relaxed: the CAS decides */
    do {
        if (sp__phase_of(seen) != from)
            return false;
        next = (seen & ~(SP__PHASE_MASK | to_tell)) | (uint64_t)terminal;
        if (drop && !(seen & to_tell))
            next -= SP__FUTURE_REF;
        else if (!drop && (seen & SP__FUTURE_WATCHED))
            next += SP__FUTURE_REF;
        /* acq_rel: publishes result and error, pairs with the acquires of who waits; and it may be the last reference: what
           the other holders did comes before the end, as in sp__word_release */
    } while (!sp__cas_acq_rel(word, &seen, next));
    *ret_seen = seen;
    return true;
}

/* Have `mark` (PARKED or WATCHED) found by who ends it.  False: it has ended, and what it left may be read. */
static inline bool sp__word_mark(sp__state_word *word, uint64_t mark)
{
    uint64_t seen = sp__load_acquire(word); /* acquire: pairs with sp__word_finish */
    while (!sp__is_terminal(seen)) {
        if (seen & mark)
            return true;
        /* acq_rel: acquire when it fails, for the word found may be terminal; on success the mark publishes nothing that the
           lock under which the finisher looks does not */
        if (sp__cas_acq_rel(word, &seen, seen | mark))
            return true;
    }
    return false;
}

static inline void sp__word_retain(sp__state_word *word)
{
    sp__add_relaxed(word, SP__FUTURE_REF); /* relaxed: the caller has a reference; nothing is published by one more */
}

/* True for who drops the last reference, and must destroy. */
static inline bool sp__word_release(sp__state_word *word)
{
    /* acquire: pairs with the releases of the other references; if ours is the only one, nobody can make another */
    if (sp__refs_of(sp__load_acquire(word)) == 1)
        return true;
    /* acq_rel: what every holder did comes before the end by whoever is last */
    return sp__refs_of(sp__sub_acq_rel(word, SP__FUTURE_REF)) == 1;
}

#endif
