/* The unbounded FIFO: a chain of blocks.  README.md has the proof that no block is used after it was given back.

   SPDX-License-Identifier: MIT */
#ifndef SP_QUEUE_CHAIN_H
#define SP_QUEUE_CHAIN_H

#include <stdbool.h>

#include "base/atomic.h"
#include "queue/item.h"
#include "queue/tried.h"

/* Positions count slots; after the last slot of a block comes one number more, BETWEEN, which says that the next block is
   being put in place. */
#define SP__BLOCK_SLOTS 127u
#define SP__BLOCK_LAP 128u
#define SP__CHAIN_CLOSED (UINT64_C(1) << 63) /* in tail: nothing is put any more */

/* A slot begins with its state: FREE, FULL when the item is there, READ when the block is not needed for it any more. */
enum { SP__SLOT_FREE, SP__SLOT_FULL, SP__SLOT_READ };

struct sp__block;

struct sp__chain {
    size_t item_size, slot_size, item_at; /* set once; bytes */
    struct {
        uint64_t position;       /* atomic; of the next put; CLOSED */
        struct sp__block *block; /* atomic; the block of `position` */
    } tail SP__APART;
    struct {
        uint64_t position;       /* atomic; of the next get */
        struct sp__block *block; /* atomic; the block of `position` */
        uint64_t tail_seen;      /* atomic; tail.position was at least so far */
    } head SP__APART;
    struct {
        uint32_t taken;           /* atomic; somebody works on `oldest` */
        uint32_t behind;          /* atomic; so many blocks lie before that of head */
        struct sp__block *oldest; /* guarded by taken; blocks from here to that of head are read, or about to be */
    } back SP__APART;
};

/* False: no memory. */
bool sp__chain_init(struct sp__chain *chain, size_t item_size);
/* pre: nobody uses it. */
void sp__chain_free(struct sp__chain *chain);
/* A put is a claim and a finish; between the two nobody can get the item, after it whoever does may free the chain. */
enum sp__tried sp__chain_claim_put(struct sp__chain *chain, void **ret_slot);
static inline void sp__chain_finish_put(const struct sp__chain *chain, void *slot, const void *item);
enum sp__tried sp__chain_get(struct sp__chain *chain, const struct sp__taker *taker);
bool sp__chain_is_empty(const struct sp__chain *chain);

/* sp__put_item tells a program's thread sanitizer what the slots' states order. */
#undef SP__LOUD
#define SP__LOUD 0
static inline void sp__chain_finish_put(const struct sp__chain *chain, void *slot, const void *item)
{
    uint32_t *state = slot;
    sp__put_item((unsigned char *)slot + chain->item_at, item, chain->item_size);
    /* release: publishes the item; pairs with the acquire in finish_get.  LAST TOUCH of the block, and of the chain. */
    sp__store_release(state, SP__SLOT_FULL);
}
#undef SP__LOUD
#define SP__LOUD 1

/* How many items were put, or taken, before this position. */
static inline uint64_t sp__chain_count(uint64_t position)
{
    position &= ~SP__CHAIN_CLOSED;
    return position / SP__BLOCK_LAP * SP__BLOCK_SLOTS + position % SP__BLOCK_LAP;
}

#endif
