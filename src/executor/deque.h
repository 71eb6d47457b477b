/* The deques of a pool's workers; see deque_protocol.h.

   SPDX-License-Identifier: MIT */
#ifndef SP_EXECUTOR_DEQUE_H
#define SP_EXECUTOR_DEQUE_H

#include "executor/inbox.h"

enum { SP__DEQUE_SLOTS = 256 };

typedef sp_future sp__deque_item;

/* Made when a worker first submits to its own pool, lives as long as the pool; when the worker ends, the next such worker
   takes it over. */
struct sp__deque {
    struct sp__deque *next_unowned; /* guarded by the pool's lock */
    unsigned number;                /* set once */
    bool marked;                    /* its worker's own: its bit in the pool's marks is set */
    uint64_t top SP__APART;         /* atomic; everybody takes here */
    uint64_t bottom SP__APART;      /* atomic; written by the worker alone */
    int64_t dead; /* atomic; so many that lie here will not run, see sp__count_dead; below 0 for a moment */
    sp_future *slots[SP__DEQUE_SLOTS]; /* atomic; each holds the queue's reference */
};

#include "executor/deque_protocol.h"

/* The place of a future that lies in a deque: the deque, with these bits.  Set before it is put in; then changed under the
   future's place lock alone. */
#define SP__IN_DEQUE ((uintptr_t)1)
#define SP__COUNTED_DEAD ((uintptr_t)2) /* in the deque's `dead` */

/* The deque that it lies in, or was taken out of a moment ago; NULL: none.  One look, for without the place lock the place may
   change at any time. */
static inline struct sp__deque *sp__deque_of(const sp_future *future)
{
    uintptr_t place = sp__load_relaxed(&future->place); /* relaxed: set before the future could be met */
    return place & SP__IN_DEQUE ? (struct sp__deque *)(place & ~(SP__IN_DEQUE | SP__COUNTED_DEAD)) : NULL;
}

#endif
