/* Queues: Python's queue.Queue, LifoQueue and PriorityQueue, with items of one size that are copied in and out.

   SPDX-License-Identifier: MIT */
#ifndef SPOOL_QUEUE_H
#define SPOOL_QUEUE_H

#include <spool/api.h>
#include <spool/status.h>

SP_BEGIN_DECLS_

typedef struct sp_queue sp_queue;

/* Which item leaves next: the oldest, the youngest, the least (the oldest among equals). */
typedef enum sp_queue_order { SP_FIFO, SP_LIFO, SP_PRIORITY } sp_queue_order;

/* Options of sp_queue_new(); in C: sp_queue_of(int, .maxsize = 100). */
typedef struct SP_KEYWORDS_ sp_queue_options {
    size_t struct_size;
    size_t maxsize;                             /* 0: no bound */
    sp_queue_order order;
    int (*compare)(const void *a, const void *b); /* as for qsort; for SP_PRIORITY; must not touch the queue */
    void (*drop)(void *item);                   /* or NULL; for items that nobody gets; may call the queue */
} sp_queue_options;

/* Make a queue for items of item_size bytes.

   Returns a handle, one reference; NULL: no memory (errno ENOMEM), or item_size is 0 or more than SIZE_MAX / 1024,
     the order is unknown, or SP_PRIORITY has no compare (errno EINVAL).
   Memory: a FIFO with a bound of up to 64 MiB of items has its slots from the start (touched when they are used); the others
     grow and shrink with their items.
   Fork: in the child it is shut down: SP_SHUT_DOWN at once, whatever it holds. */
SP_API sp_queue *sp_queue_new(size_t item_size, const sp_queue_options *options);

/* Put a copy of *item into the queue.  In C: sp_put(queue, &item, timeout).

   Waits while the queue is full, up to `timeout` seconds: spins for up to 25 us, then sleeps.  item_size must be the queue's.

   Returns SP_OK, or
     SP_FULL          no room came free in time (queue.Full)
     SP_SHUT_DOWN     the queue was shut down, before or during the wait (queue.ShutDown)
     SP_TYPE_ERROR    item_size is wrong
     SP_VALUE_ERROR   timeout is NaN
     SP_MEMORY_ERROR  no memory to hold one more item; or queue is NULL
   Ownership: on SP_OK pointers inside the item are the queue's, until a getter or drop has them.
   Order: what was done before the put happens before the return of the get that takes the item.
   Blocks: yes.  Cancel: sp_queue_shutdown() wakes it.  Source: CPython 3.13 queue.Queue.put. */
SP_API SP_MUST_CHECK sp_status sp_queue_put(sp_queue *queue, const void *item, size_t item_size, double timeout);

/* Take the next item out of the queue.  In C: sp_get(queue, &item, timeout).

   Waits while the queue is empty, up to `timeout` seconds.

   Returns SP_OK and writes *ret_item, or
     SP_EMPTY         no item arrived in time (queue.Empty)
     SP_SHUT_DOWN     the queue was shut down and nothing is left (queue.ShutDown)
     SP_TYPE_ERROR    item_size is wrong
     SP_VALUE_ERROR   timeout is NaN
     SP_MEMORY_ERROR  queue is NULL
   Ownership: the bytes move to the caller.  Order: see sp_queue_put().  A getter that never waited may overtake.
   Source: CPython 3.13 queue.Queue.get. */
SP_API SP_MUST_CHECK sp_status sp_queue_get(sp_queue *queue, void *ret_item, size_t item_size, double timeout);

/* Put n items, one after the other.  In C: sp_queue_put_many(queue, items, n, &done, timeout).

   `timeout` is for all together.  Others may put in between.

   Returns SP_OK when all were put, else the status of sp_queue_put() for the first that was not.  *ret_done, unless NULL, is
   in every case how many were put.  Ownership, order: as sp_queue_put(). */
SP_API SP_MUST_CHECK sp_status sp_queue_put_items(sp_queue *queue, const void *items, size_t item_size, size_t n,
                                                  size_t *ret_done, double timeout);

/* Take up to n items: wait for the first as sp_queue_get() does, then take what is there.
   In C: sp_queue_get_many(queue, items, n, &done, timeout).

   Returns SP_OK when there was at least one (or n is 0), else the status of sp_queue_get().  *ret_done, unless NULL, is in
   every case how many were taken.  Ownership, order: as sp_queue_get(). */
SP_API SP_MUST_CHECK sp_status sp_queue_get_items(sp_queue *queue, void *ret_items, size_t item_size, size_t n,
                                                  size_t *ret_done, double timeout);

/* Say that the work on one item which was got is done.

   Returns SP_OK, or
     SP_VALUE_ERROR  it was said more often than items were put (ValueError); or queue is NULL
     SP_SHUT_DOWN    the queue was made before the fork that made this process */
SP_API SP_MUST_CHECK sp_status sp_queue_task_done(sp_queue *queue);

/* Wait until task_done was said for every item that was put.  False: the time was up, or the queue was made before the fork
   that made this process.  True for NULL.
   Order: every task_done happens before the return.  Source: CPython 3.13 queue.Queue.join. */
SP_API bool sp_queue_join(sp_queue *queue, double timeout);

/* Take no more items.  Putters fail with SP_SHUT_DOWN, those who wait as well; getters get what is left, then
   SP_SHUT_DOWN.  With `immediate` what is left is discarded (drop is called for each), counts as done, and joiners are
   told.  May be repeated.  Source: CPython 3.13 queue.Queue.shutdown, as corrected in 3.13.x. */
SP_API void sp_queue_shutdown(sp_queue *queue, bool immediate);

/* How many items are in it; is it empty, is it full?  Old when it arrives.  A queue without bound is never full. */
SP_API size_t sp_queue_size(const sp_queue *queue);
SP_API bool sp_queue_empty(const sp_queue *queue);
SP_API bool sp_queue_full(const sp_queue *queue);
/* Its bound, 0 for none. */
SP_API size_t sp_queue_maxsize(const sp_queue *queue);

/* One more reference; one less.  The last one drops what is left; items may own queues, in chains of any length.

   A call needs the handle by which it was made until it returns, but for one case: it has done what another thread waits for.
   Whoever got the item that was put, or had room for one because an item was got, was told that all is done by
   sp_queue_join() or that the queue is shut down, may release the last handle while the call of the other thread is still on
   its way back.  So the receiver of the last item may free the queue.  sp_queue_size() and its like tell nothing of that. */
SP_API sp_queue *sp_queue_retain(sp_queue *queue);
SP_API void sp_queue_release(sp_queue *queue);

SP_END_DECLS_
#endif
