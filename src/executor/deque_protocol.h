/* A worker's deque: the worker puts at the bottom and may take its last back; everybody, the worker included, takes from the
   top, so that tasks leave in the order in which they came.

   After D. Chase and Y. Lev, "Dynamic Circular Work-Stealing Deque" (2005), in a ring that does not grow, with the orders of
   N. M. Le et al., "Correct and Efficient Work-Stealing for Weak Memory Models" (2013), their fences made into the orders of
   the accesses.

   In the common subset of C11 and C++03: the library compiles it over base/atomic.h, the model in tests/model over a
   checker's atomics.  Whoever includes it first defines
     struct sp__deque         with atomic 64-bit words `top` and `bottom`, and SP__DEQUE_SLOTS atomic pointers `slots`
     sp__deque_item           what the pointers point to
     sp__load_relaxed, sp__load_acquire, sp__load_seq_cst, sp__store_relaxed, sp__store_seq_cst, sp__cas_seq_cst
                              as in base/atomic.h
   README.md says how the pool uses it.

   SPDX-License-Identifier: MIT */
#ifndef SP_EXECUTOR_DEQUE_PROTOCOL_H
#define SP_EXECUTOR_DEQUE_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* By the worker: put it at the bottom.  False: full. */
static inline bool sp__deque_put(struct sp__deque *deque, sp__deque_item *item)
{
    uint64_t bottom = sp__load_relaxed(&deque->bottom); /* relaxed: our own store */
    /* acquire: pairs with the CAS of who took the item out that lies in the slot: it has read the slot */
    uint64_t top = sp__load_acquire(&deque->top);
    if (bottom - top >= SP__DEQUE_SLOTS)
        return false;
    sp__store_relaxed(&deque->slots[bottom % SP__DEQUE_SLOTS], item); /* relaxed: published by bottom */
    /* seq_cst: publishes the item; before the caller looks for workers to call, see crew_protocol.h */
    sp__store_seq_cst(&deque->bottom, bottom + 1);
    return true;
}

/* By the worker: take the last back if it is this one.  False: it is another, or somebody took it. */
static inline bool sp__deque_take_back(struct sp__deque *deque, const sp__deque_item *item)
{
    uint64_t bottom = sp__load_relaxed(&deque->bottom) - 1;                /* relaxed: our own store */
    if (sp__load_relaxed(&deque->slots[bottom % SP__DEQUE_SLOTS]) != item) /* relaxed: our own store */
        return false;
    /* seq_cst: either a taker sees the new bottom and leaves the item, or we see its top */
    sp__store_seq_cst(&deque->bottom, bottom);
    uint64_t top = sp__load_seq_cst(&deque->top); /* seq_cst: as above */
    if ((int64_t)(bottom - top) > 0)
        return true; /* others lie above it */
    /* seq_cst: it is the last; whoever moves top has it */
    bool ours = bottom == top && sp__cas_seq_cst(&deque->top, &top, top + 1);
    sp__store_relaxed(&deque->bottom, bottom + 1); /* relaxed: empty in either case, nothing is published */
    return ours;
}

/* By anybody: take the first.  NULL: there is none. */
static inline sp__deque_item *sp__deque_take(struct sp__deque *deque)
{
    for (;;) {
        uint64_t top = sp__load_seq_cst(&deque->top);       /* seq_cst: before bottom, see sp__deque_take_back */
        uint64_t bottom = sp__load_seq_cst(&deque->bottom); /* seq_cst: pairs with sp__deque_put */
        if ((int64_t)(bottom - top) <= 0)
            return NULL;
        sp__deque_item *item = sp__load_relaxed(
            &deque->slots[top % SP__DEQUE_SLOTS]); /* relaxed: bottom published it */
        /* seq_cst: whoever moves top has the item; if nobody had moved it before, the slot was not written again */
        if (sp__cas_seq_cst(&deque->top, &top, top + 1))
            return item;
    }
}

/* By anybody who keeps the item: take the first if it is this one.  False: it is another, or somebody took it. */
static inline bool sp__deque_take_first(struct sp__deque *deque, const sp__deque_item *item)
{
    uint64_t top = sp__load_seq_cst(&deque->top);       /* seq_cst: as in sp__deque_take */
    uint64_t bottom = sp__load_seq_cst(&deque->bottom); /* seq_cst: as above */
    if ((int64_t)(bottom - top) <= 0)
        return false;
    /* relaxed: as above; a slot that was written again shows another item, or its place was taken and the CAS fails */
    if (sp__load_relaxed(&deque->slots[top % SP__DEQUE_SLOTS]) != item)
        return false;
    return sp__cas_seq_cst(&deque->top, &top, top + 1); /* seq_cst: as above */
}

/* By anybody, after its own seq_cst change of something else: how many are there, at most? */
static inline uint64_t sp__deque_size(const struct sp__deque *deque)
{
    uint64_t top = sp__load_seq_cst(&deque->top);           /* seq_cst: before bottom; too old makes it too many */
    uint64_t size = sp__load_seq_cst(&deque->bottom) - top; /* seq_cst: pairs with sp__deque_put */
    return (int64_t)size > 0 ? size : 0;
}

#endif
