/* The protocol of a bounded ring for any number of putters and getters: who may write or read which slot when.

   In the common subset of C11 and C++03: the library compiles it over base/atomic.h, the model in tests/model over a
   checker's atomics.  Whoever includes it first defines
     sp__ring_word          the type of an atomic 64-bit word
     sp__load_relaxed, sp__load_acquire, sp__load_seq_cst, sp__cas_seq_cst, sp__store_release   as in base/atomic.h
     struct sp__ring        with the fields below, and whatever its slots are
     SP__RING_STAMP(ring, index)         the address of a slot's stamp
     SP__RING_WRITE(ring, index, item)   copy an item into a slot
     SP__RING_READ(ring, index, item)    copy it out
     SP__RING_BACK_OFF(tries)            another thread was faster, for the so manyth time: let it go on
   Fields of struct sp__ring: head, tail (sp__ring_word); capacity, one_lap (uint64_t, set once).

   A position is a number of laps and an index: lap * one_lap + index, where one_lap is the power of two above capacity.
   `tail` is the position of the next put, `head` that of the next get.  A slot's stamp, all zero at first, says for lap L:

     L * one_lap        free for the put of lap L
     L * one_lap + 1    holds the item of lap L

   SPDX-License-Identifier: MIT */
#ifndef SP_QUEUE_RING_PROTOCOL_H
#define SP_QUEUE_RING_PROTOCOL_H

#include <stdint.h>

#include "queue/tried.h"

/* In `tail`: nothing is put any more.  With it the compare-and-swap of every putter fails. */
static const uint64_t SP__RING_CLOSED = (uint64_t)1 << 63;

static inline uint64_t sp__ring_index(const struct sp__ring *ring, uint64_t position)
{
    return position & (ring->one_lap - 1);
}

static inline uint64_t sp__ring_lap(const struct sp__ring *ring, uint64_t position)
{
    return position & ~(ring->one_lap - 1);
}

static inline uint64_t sp__ring_next(const struct sp__ring *ring, uint64_t position)
{
    if (sp__ring_index(ring, position) + 1 < ring->capacity)
        return position + 1;
    return sp__ring_lap(ring, position) + ring->one_lap;
}

/* Full at the moment at which `tail` was read: head never falls back, and tail - head never exceeds the capacity. */
static inline bool sp__ring_was_full(struct sp__ring *ring, uint64_t tail)
{
    /* seq_cst: after a putter that is about to sleep was counted; pairs with the CAS in sp__ring_claim_get */
    return sp__load_seq_cst(&ring->head) + ring->one_lap == tail;
}

/* A put or a get is a claim and a finish.  Between the two nobody else can have the slot; after the finish whoever has got the
   item, or the room, may free the ring. */
static inline enum sp__tried sp__ring_claim_put(struct sp__ring *ring, uint64_t *ret_position)
{
    for (unsigned tries = 0;; tries++) {
        uint64_t tail = sp__load_relaxed(&ring->tail); /* relaxed: the CAS decides */
        if (tail & SP__RING_CLOSED)
            return SP__TRY_CLOSED;
        uint64_t index = sp__ring_index(ring, tail), lap = sp__ring_lap(ring, tail);
        /* acquire: pairs with the release in sp__ring_finish_get; the last item is out of the slot */
        uint64_t stamp = sp__load_acquire(SP__RING_STAMP(ring, index));
        if (stamp == lap) {
            /* seq_cst: before the putter looks for sleeping getters; pairs with the load in sp__ring_was_empty */
            if (sp__cas_seq_cst(&ring->tail, &tail, sp__ring_next(ring, tail))) {
                *ret_position = tail;
                return SP__TRY_DONE;
            }
        } else if (stamp + ring->one_lap == lap + 1) { /* the item of the lap before is there, or on its way out */
            return sp__ring_was_full(ring, tail) ? SP__TRY_NOT_NOW : SP__TRY_BUSY;
        }
        SP__RING_BACK_OFF(tries);
    }
}

static inline void sp__ring_finish_put(struct sp__ring *ring, uint64_t position, const void *item)
{
    uint64_t index = sp__ring_index(ring, position);
    SP__RING_WRITE(ring, index, item);
    /* release: publishes the item; pairs with the acquire in sp__ring_claim_get.  LAST TOUCH of the ring. */
    sp__store_release(SP__RING_STAMP(ring, index), sp__ring_lap(ring, position) + 1);
}

static inline enum sp__tried sp__ring_put(struct sp__ring *ring, const void *item)
{
    uint64_t position;
    enum sp__tried tried = sp__ring_claim_put(ring, &position);
    if (tried == SP__TRY_DONE)
        sp__ring_finish_put(ring, position, item);
    return tried;
}

/* Empty when `head` was the position of the next get. */
static inline bool sp__ring_was_empty(struct sp__ring *ring, uint64_t head, bool *ret_closed)
{
    /* seq_cst: after a getter that is about to sleep was counted; pairs with the CAS in sp__ring_claim_put */
    uint64_t tail = sp__load_seq_cst(&ring->tail);
    *ret_closed = (tail & SP__RING_CLOSED) != 0;
    return (tail & ~SP__RING_CLOSED) == head;
}

static inline enum sp__tried sp__ring_claim_get(struct sp__ring *ring, uint64_t *ret_position)
{
    for (unsigned tries = 0;; tries++) {
        uint64_t head = sp__load_relaxed(&ring->head); /* relaxed: the CAS decides */
        uint64_t index = sp__ring_index(ring, head), lap = sp__ring_lap(ring, head);
        /* acquire: pairs with the release in sp__ring_finish_put; the item may be read */
        uint64_t stamp = sp__load_acquire(SP__RING_STAMP(ring, index));
        if (stamp == lap + 1) {
            /* seq_cst: before the getter looks for sleeping putters; pairs with the load in sp__ring_was_full */
            if (sp__cas_seq_cst(&ring->head, &head, sp__ring_next(ring, head))) {
                *ret_position = head;
                return SP__TRY_DONE;
            }
        } else if (stamp == lap) { /* nobody has put it yet, or somebody is about to have */
            bool closed;
            if (!sp__ring_was_empty(ring, head, &closed))
                return SP__TRY_BUSY;
            return closed ? SP__TRY_CLOSED : SP__TRY_NOT_NOW;
        }
        SP__RING_BACK_OFF(tries);
    }
}

static inline void sp__ring_finish_get(struct sp__ring *ring, uint64_t position, void *item)
{
    uint64_t index = sp__ring_index(ring, position), next_lap = sp__ring_lap(ring, position) + ring->one_lap;
    SP__RING_READ(ring, index, item);
    /* release: the slot is free; pairs with the acquire in sp__ring_claim_put.  LAST TOUCH of the ring. */
    sp__store_release(SP__RING_STAMP(ring, index), next_lap);
}

static inline enum sp__tried sp__ring_get(struct sp__ring *ring, void *item)
{
    uint64_t position;
    enum sp__tried tried = sp__ring_claim_get(ring, &position);
    if (tried == SP__TRY_DONE)
        sp__ring_finish_get(ring, position, item);
    return tried;
}

/* How many positions lie before this one: so many items were put, or taken. */
static inline uint64_t sp__ring_count(const struct sp__ring *ring, uint64_t position)
{
    position &= ~SP__RING_CLOSED;
    return position / ring->one_lap * ring->capacity + sp__ring_index(ring, position);
}

#endif
