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
    struct sp__deque *next;    /* set once before the deque is published: the pool's list only grows, at its head */
    bool owned;                /* guarded by the pool's lock */
    uint64_t top SP__APART;    /* atomic; everybody takes here */
    uint64_t bottom SP__APART; /* atomic; written by the worker alone */
    sp_future *slots[SP__DEQUE_SLOTS]; /* atomic; each holds the queue's reference */
};

#include "executor/deque_protocol.h"

#endif
