/* The workers of a pool, counted in one word: who looks for work, who is awake, who sleeps; and when one must be called.

   In the common subset of C11 and C++03: the library compiles it over base/atomic.h, the model in tests/model over a
   checker's atomics.  Whoever includes it first defines
     sp__crew_word            an atomic 64-bit word, zero at first
     sp__load_seq_cst, sp__add_seq_cst, sp__sub_seq_cst, sp__add_relaxed, sp__sub_relaxed
                              as in base/atomic.h
   README.md has the proof.

   SPDX-License-Identifier: MIT */
#ifndef SP_EXECUTOR_CREW_PROTOCOL_H
#define SP_EXECUTOR_CREW_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

/* The word is three counts of 20 bits.
   searching  looks for a task, or was woken and will.  Each of them, when it finds one, looks whether there is more; so
              while somebody searches nobody need be called.
   awake      holds one of the pool's permits to run tasks: searches, runs one, or keeps its permit in a wait.  Changes
              under the pool's lock only.  Too high for a moment when a worker comes back from a wait in which it was
              replaced.
   asleep     lies in the list of sleepers.
   A worker that is being started, or in its initializer, is in none of them. */
#define SP__SEARCHING ((uint64_t)1)
#define SP__AWAKE ((uint64_t)1 << 20)
#define SP__ASLEEP ((uint64_t)1 << 40)
#define SP__CREW_MASK (SP__AWAKE - 1)

static inline uint64_t sp__crew_searching(uint64_t seen)
{
    return seen & SP__CREW_MASK;
}

static inline uint64_t sp__crew_awake(uint64_t seen)
{
    return (seen / SP__AWAKE) & SP__CREW_MASK;
}

static inline uint64_t sp__crew_asleep(uint64_t seen)
{
    return (seen / SP__ASLEEP) & SP__CREW_MASK;
}

/* Would a task wait although it need not?  Nobody looks for it, and there is a permit. */
static inline bool sp__crew_needs_one(uint64_t seen, uint64_t permits)
{
    return sp__crew_searching(seen) == 0 && sp__crew_awake(seen) < permits;
}

/* After a task was queued: how things stand. */
static inline uint64_t sp__crew_look(const sp__crew_word *word)
{
    /* seq_cst: after the queue's seq_cst change; pairs with the changes below and the look at the queues after them */
    return sp__load_seq_cst(word);
}

/* Under the pool's lock: a sleeper is called. */
static inline void sp__crew_call(sp__crew_word *word)
{
    /* relaxed: the one called publishes nothing by this, and is itself told by other means */
    sp__add_relaxed(word, SP__SEARCHING + SP__AWAKE - SP__ASLEEP);
}

/* Under the pool's lock: a worker that was started takes a permit, and begins to search.  Who relied on its coming did so
   under the lock, and sees from now on that it searches. */
static inline void sp__crew_enter(sp__crew_word *word)
{
    sp__add_relaxed(word, SP__SEARCHING + SP__AWAKE); /* relaxed: as in sp__crew_call */
}

/* A worker that ran a task begins to search. */
static inline void sp__crew_search(sp__crew_word *word)
{
    sp__add_relaxed(word, SP__SEARCHING); /* relaxed: too few for a moment costs a call too many */
}

/* A searching worker has a task.  The caller looks whether there are more. */
static inline uint64_t sp__crew_found(sp__crew_word *word)
{
    /* seq_cst: before the caller looks; pairs with sp__crew_look of those who relied on this one */
    return sp__sub_seq_cst(word, SP__SEARCHING) - SP__SEARCHING;
}

/* Under the pool's lock: a worker lies down, which holds a permit or not, and searches or not.  The caller looks at the
   queues before it sleeps. */
static inline uint64_t sp__crew_lie_down(sp__crew_word *word, bool awake, bool searching)
{
    uint64_t change = SP__ASLEEP - (awake ? SP__AWAKE : 0) - (searching ? SP__SEARCHING : 0);
    /* seq_cst: before the caller looks; pairs with sp__crew_look */
    return sp__add_seq_cst(word, change) + change;
}

/* Under the pool's lock: it gets up, to search or to end. */
static inline void sp__crew_get_up(sp__crew_word *word, bool to_search)
{
    /* relaxed: as in sp__crew_call */
    sp__add_relaxed(word, (to_search ? SP__SEARCHING + SP__AWAKE : 0) - SP__ASLEEP);
}

/* Under the pool's lock: a worker will sleep in its task's wait, and gives its permit to others.  The caller looks at the
   queues afterwards. */
static inline uint64_t sp__crew_step_aside(sp__crew_word *word)
{
    /* seq_cst: before the caller looks; pairs with sp__crew_look of those who found no permit */
    return sp__sub_seq_cst(word, SP__AWAKE) - SP__AWAKE;
}

/* Under the pool's lock: it goes on. */
static inline void sp__crew_step_back(sp__crew_word *word)
{
    sp__add_relaxed(word, SP__AWAKE); /* relaxed: it takes a permit; who misses that calls one too many */
}

#endif
