/* Where the items of a queue lie.  No locking, no waiting: the queue does that.

   SPDX-License-Identifier: MIT */
#ifndef SP_QUEUE_STORE_H
#define SP_QUEUE_STORE_H

#include <stdbool.h>

#include <spool/queue.h>

/* FIFO and LIFO are a ring: items stand at first, first + 1, ... (mod capacity).  PRIORITY is a binary heap in slots 0 to
   size - 1; each slot ends with the number of its put, so that equals leave in the order in which they came. */
struct sp__store {
    sp_queue_order order;                       /* set once */
    size_t item_size, slot_size;                /* set once; bytes */
    int (*compare)(const void *, const void *); /* set once; for PRIORITY */
    unsigned char *slots;
    size_t capacity; /* in slots */
    size_t first;    /* of the ring */
    size_t size;
    uint64_t puts; /* so many items came in; the next one's number */
};

void sp__store_init(struct sp__store *store, size_t item_size, sp_queue_order order,
                    int (*compare)(const void *, const void *));
/* Make room for one more item.  False: no memory. */
bool sp__store_reserve(struct sp__store *store);
/* pre: there is room. */
void sp__store_push(struct sp__store *store, const void *item);
/* pre: it is not empty. */
void sp__store_pop(struct sp__store *store, void *ret_item);
/* Call `drop` on the next item where it lies, and forget it.  pre: it is not empty. */
void sp__store_drop_next(struct sp__store *store, void (*drop)(void *item));
void sp__store_free(struct sp__store *store);

#endif
