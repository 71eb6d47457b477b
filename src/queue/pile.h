/* Items in a heap of memory that grows and shrinks: LIFO, PRIORITY, and a FIFO whose bound is too large for a ring.  No
   locking, no waiting: the queue does that.

   SPDX-License-Identifier: MIT */
#ifndef SP_QUEUE_PILE_H
#define SP_QUEUE_PILE_H

#include <stdbool.h>

#include <spool/queue.h>

/* FIFO and LIFO are a ring: items stand at first, first + 1, ... (mod capacity).  PRIORITY is a binary heap in slots 0 to
   size - 1; each slot ends with the number of its put, so that equals leave in the order in which they came. */
struct sp__pile {
    sp_queue_order order;                       /* set once */
    size_t item_size, slot_size;                /* set once; bytes */
    int (*compare)(const void *, const void *); /* set once; for PRIORITY */
    unsigned char *slots;
    size_t capacity; /* in slots */
    size_t first;    /* of the ring */
    size_t size;
    uint64_t puts; /* so many items came in; the next one's number */
};

void sp__pile_init(struct sp__pile *pile, size_t item_size, sp_queue_order order,
                   int (*compare)(const void *, const void *));
/* Make room for one more item.  False: no memory. */
bool sp__pile_reserve(struct sp__pile *pile);
/* pre: there is room. */
void sp__pile_push(struct sp__pile *pile, const void *item);
/* pre: it is not empty. */
void sp__pile_pop(struct sp__pile *pile, void *ret_item);
/* Call `drop` on the next item where it lies, and forget it.  pre: it is not empty. */
void sp__pile_drop_next(struct sp__pile *pile, void (*drop)(void *item));
void sp__pile_free(struct sp__pile *pile);

#endif
