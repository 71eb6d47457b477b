/* The protocol of those who sleep for a queue: how they are counted in one word, and when who wakes whom.

   In the common subset of C11 and C++03: the library compiles it over base/atomic.h and the parking lot, the model in
   tests/model over a checker's atomics.  Whoever includes it first defines
     sp_queue                 what is waited for
     struct sp__sleepers      with a field `word`, an atomic 64-bit word, zero at first
     sp__load_relaxed, sp__load_seq_cst, sp__add_relaxed, sp__add_seq_cst, sp__sub_relaxed, sp__and_seq_cst
                              as in base/atomic.h
   README.md has the proof.

   SPDX-License-Identifier: MIT */
#ifndef SP_QUEUE_SLEEPERS_PROTOCOL_H
#define SP_QUEUE_SLEEPERS_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

/* In `word`, beside the number of sleepers: one was woken and has not looked yet; it will wake the next if there is more to
   have, so that others need not. */
static const uint64_t SP__WAKING = (uint64_t)1 << 32;

/* ---- sleepers ---- */

/* Under the bucket lock: count ourselves, then look.  False: there is no reason to wait any more. */
static inline bool sp__sleepers_count_in(struct sp__sleepers *sleepers, const sp_queue *queue,
                                         bool (*must_wait)(const sp_queue *))
{
    /* seq_cst: before must_wait looks; pairs with the loads in sp__sleepers_need_one and sp__sleepers_are_there */
    sp__add_seq_cst(&sleepers->word, 1);
    if (must_wait(queue))
        return true;
    sp__sub_relaxed(&sleepers->word, 1); /* relaxed: too high for a moment costs a waker one look */
    return false;
}

/* Under the bucket lock: out of time, and nobody had woken us. */
static inline void sp__sleepers_count_out(struct sp__sleepers *sleepers)
{
    sp__sub_relaxed(&sleepers->word, 1); /* relaxed: as above */
}

/* Woken, before we look again. */
static inline void sp__sleepers_set_off(struct sp__sleepers *sleepers)
{
    /* seq_cst: before we look; a change that we do not see is by somebody who sees this */
    sp__and_seq_cst(&sleepers->word, ~SP__WAKING);
}

/* ---- wakers, after their change ---- */

/* Is one to be woken? */
static inline bool sp__sleepers_need_one(struct sp__sleepers *sleepers)
{
    /* seq_cst: after the caller's change, a seq_cst read-modify-write; pairs with the addition before must_wait looks */
    uint64_t word = sp__load_seq_cst(&sleepers->word);
    return word != 0 && !(word & SP__WAKING);
}

/* Is there anybody, when all are to be woken? */
static inline bool sp__sleepers_are_there(struct sp__sleepers *sleepers)
{
    /* seq_cst: as in sp__sleepers_need_one */
    return (sp__load_seq_cst(&sleepers->word) & (SP__WAKING - 1)) != 0;
}

/* Under the bucket lock: how many to wake; one of those who want to wake one does. */
static inline size_t sp__sleepers_to_wake(struct sp__sleepers *sleepers, bool all)
{
    /* relaxed: under the bucket lock sleepers come and go; WAKING is set here only */
    return all ? SIZE_MAX : sp__load_relaxed(&sleepers->word) & SP__WAKING ? 0 : 1;
}

/* In the same hold: so many were unlinked. */
static inline void sp__sleepers_count_woken(struct sp__sleepers *sleepers, size_t woken, bool all)
{
    if (woken > 0 && !all)
        sp__add_relaxed(&sleepers->word, SP__WAKING - woken); /* relaxed: the bucket lock publishes it */
    else
        sp__sub_relaxed(&sleepers->word, woken); /* relaxed: as above */
}

#endif
