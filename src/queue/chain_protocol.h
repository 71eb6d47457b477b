/* The protocol of the unbounded FIFO, a chain of blocks: which thread may write or read which slot when, and when a block
   may be used again.  README.md has the proof.

   In the common subset of C11 and C++03: the library compiles it over base/atomic.h, the model in tests/model over a
   checker's atomics.  The file that includes it first defines
     sp__load_relaxed, sp__load_acquire, sp__load_seq_cst, sp__store_relaxed, sp__store_release, sp__add_relaxed, sp__add_release,
     sp__sub_relaxed, sp__cas_acquire, sp__cas_seq_cst          as in base/atomic.h
     SP__BLOCK_SLOTS        how many slots a block has
     SP__KEPT_BLOCKS        how many blocks that were read are kept
     sp__slot_word          the type of a slot's state, an atomic word
     struct sp__block       with `next`, an atomic pointer to a block, and whatever its slots are
     struct sp__chain       with the fields of that in chain.h
     struct sp__taker       what becomes of an item that leaves
   and the functions
     sp__chain_state(chain, block, offset)    the state of a slot
     sp__chain_write(chain, slot, item)       copy an item into the slot with that state
     sp__chain_read(chain, slot, taker)       copy it out
     sp__chain_new_block(chain)               a block whose slots are all free, and without a next; NULL: no memory
     sp__chain_free_block(block)
     sp__chain_was_read(chain, block)         its items are gone: for a program's thread sanitizer
     sp__chain_back_off(tries)                another thread was faster, as it was `tries` times before: let it go on
     sp__chain_pass_moment(&round)            another thread is between two steps: let it go on

   Positions count slots; after the last slot of a block comes one number more, BETWEEN, which says that the next block is being
   put in place.

   SPDX-License-Identifier: MIT */
#ifndef SP_QUEUE_CHAIN_PROTOCOL_H
#define SP_QUEUE_CHAIN_PROTOCOL_H

#include <stdint.h>

#include "queue/tried.h"

#define SP__BLOCK_LAP (SP__BLOCK_SLOTS + 1)

/* In tail.position: nothing is put any more. */
static const uint64_t SP__CHAIN_CLOSED = (uint64_t)1 << 63;

/* A slot's state: FREE, FULL when the item is there, READ when the block is not needed for it any more. */
static const uint32_t SP__SLOT_FREE = 0, SP__SLOT_FULL = 1, SP__SLOT_READ = 2;

/* How many items were put, or taken, before this position. */
static inline uint64_t sp__chain_count(uint64_t position)
{
    position &= ~SP__CHAIN_CLOSED;
    return position / SP__BLOCK_LAP * SP__BLOCK_SLOTS + position % SP__BLOCK_LAP;
}

/* ---- blocks that were read ---- */

static inline bool sp__chain_take_back(struct sp__chain *chain)
{
    uint32_t not_taken = 0;
    /* acquire: pairs with the release in sp__chain_give_back */
    return sp__cas_acquire(&chain->back.taken, &not_taken, 1);
}

static inline void sp__chain_give_back(struct sp__chain *chain)
{
    sp__store_release(&chain->back.taken, 0); /* release: pairs with the acquire in sp__chain_take_back */
}

/* Take the oldest block out of the chain, if no thread needs it any more.  Then getters have left it: the one that did has
   added to `behind` before its READ.  pre: back is taken. */
static inline struct sp__block *sp__chain_unlink_oldest(struct sp__chain *chain)
{
    struct sp__block *block = chain->back.oldest;
    for (uint64_t i = SP__BLOCK_SLOTS; i-- > 0;)
        /* acquire: pairs with the release in sp__chain_finish_get; that was the last touch of the slot */
        if (sp__load_acquire(sp__chain_state(chain, block, i)) != SP__SLOT_READ)
            return NULL;
    sp__chain_was_read(chain, block);
    /* relaxed: the getter of the last slot had loaded it with acquire before its READ, which was seen above */
    chain->back.oldest = sp__load_relaxed(&block->next);
    sp__sub_relaxed(&chain->back.behind, 1); /* relaxed: a count, added to before the READ of the last slot */
    return block;
}

/* A block for the putters: one that was read, else a new one. */
static inline struct sp__block *sp__chain_find_block(struct sp__chain *chain)
{
    struct sp__block *block = NULL;
    if (sp__load_relaxed(&chain->back.behind) > 0 && sp__chain_take_back(chain)) { /* relaxed: a hint */
        block = sp__chain_unlink_oldest(chain);
        sp__chain_give_back(chain);
    }
    if (block == NULL)
        return sp__chain_new_block(chain);
    sp__store_relaxed(&block->next, NULL); /* relaxed: the block is nobody's yet, sp__chain_enter_block publishes it */
    for (uint64_t i = 0; i < SP__BLOCK_SLOTS; i++)
        sp__store_relaxed(sp__chain_state(chain, block, i), SP__SLOT_FREE); /* relaxed: as above */
    return block;
}

/* Give memory back after a time of many items. */
static inline void sp__chain_trim(struct sp__chain *chain)
{
    /* relaxed: a hint */
    if (sp__load_relaxed(&chain->back.behind) <= SP__KEPT_BLOCKS || !sp__chain_take_back(chain))
        return;
    struct sp__block *block;
    while (sp__load_relaxed(&chain->back.behind) > SP__KEPT_BLOCKS && /* relaxed: changed down only while taken */
           (block = sp__chain_unlink_oldest(chain)) != NULL)
        sp__chain_free_block(block);
    sp__chain_give_back(chain);
}

/* ---- put ---- */

/* The last slot of a block was claimed by the caller: let putters go on in the next block. */
static inline void sp__chain_enter_block(struct sp__chain *chain, struct sp__block *block, struct sp__block *next)
{
    sp__store_relaxed(&chain->tail.block, next); /* relaxed: the position publishes it */
    /* release: publishes the block; pairs with the acquire in sp__chain_claim_once */
    sp__add_release(&chain->tail.position, 1);
    /* release: pairs with the acquire in sp__chain_leave_block */
    sp__store_release(&block->next, next);
}

/* A slot is claimed: its state.  `spare`, if it was needed, is part of the chain then. */
static inline sp__slot_word *sp__chain_claimed(struct sp__chain *chain, struct sp__block *block, uint64_t offset,
                                               struct sp__block **spare)
{
    if (offset + 1 == SP__BLOCK_SLOTS) {
        sp__chain_enter_block(chain, block, *spare);
        *spare = NULL;
    }
    return sp__chain_state(chain, block, offset);
}

/* One look at the end, and a claim if that may be.  SP__TRY_NOT_NOW: another putter was faster. */
static inline enum sp__tried sp__chain_claim_once(struct sp__chain *chain, struct sp__block **spare,
                                                  sp__slot_word **ret_slot)
{
    /* acquire: pairs with the release in sp__chain_enter_block */
    uint64_t position = sp__load_acquire(&chain->tail.position);
    /* relaxed: it is the block of the position, or a later one, and then the CAS fails */
    struct sp__block *block = sp__load_relaxed(&chain->tail.block);
    uint64_t offset = position % SP__BLOCK_LAP;
    if (position & SP__CHAIN_CLOSED)
        return SP__TRY_CLOSED;
    if (offset == SP__BLOCK_SLOTS)
        return SP__TRY_BUSY;
    if (offset + 1 == SP__BLOCK_SLOTS && *spare == NULL && (*spare = sp__chain_find_block(chain)) == NULL)
        return SP__TRY_NO_MEMORY;
    /* seq_cst: before the putter looks for sleeping getters, pairs with the load in sp__chain_look; and the load of the
       block, above, happens before the store in sp__chain_enter_block by a later putter */
    if (!sp__cas_seq_cst(&chain->tail.position, &position, position + 1))
        return SP__TRY_NOT_NOW;
    *ret_slot = sp__chain_claimed(chain, block, offset, spare);
    return SP__TRY_DONE;
}

static inline enum sp__tried sp__chain_claim_slot(struct sp__chain *chain, sp__slot_word **ret_slot)
{
    struct sp__block *spare = NULL;
    enum sp__tried tried;
    for (unsigned tries = 0; (tried = sp__chain_claim_once(chain, &spare, ret_slot)) == SP__TRY_NOT_NOW; tries++)
        sp__chain_back_off(tries);
    if (spare != NULL)
        sp__chain_free_block(spare); /* somebody else was faster */
    return tried;
}

static inline void sp__chain_finish_put(const struct sp__chain *chain, sp__slot_word *slot, const void *item)
{
    sp__chain_write(chain, slot, item);
    /* release: publishes the item; pairs with the acquire in sp__chain_finish_get.  LAST TOUCH of the block, and of the
       chain. */
    sp__store_release(slot, SP__SLOT_FULL);
}

/* ---- get ---- */

/* SP__TRY_DONE: there is an item at `position`.  Putters write tail all the time: it is read again only when `position` has
   reached what was seen of it last time. */
static inline enum sp__tried sp__chain_look(struct sp__chain *chain, uint64_t position)
{
    if (position < sp__load_relaxed(&chain->head.tail_seen)) /* relaxed: it was true once, so it is */
        return SP__TRY_DONE;
    /* seq_cst: after a getter that is about to sleep was counted; pairs with the CAS in sp__chain_claim_once */
    uint64_t tail = sp__load_seq_cst(&chain->tail.position);
    if ((tail & ~SP__CHAIN_CLOSED) == position)
        return tail & SP__CHAIN_CLOSED ? SP__TRY_CLOSED : SP__TRY_NOT_NOW;
    /* relaxed: as above; an older one does no harm */
    sp__store_relaxed(&chain->head.tail_seen, tail & ~SP__CHAIN_CLOSED);
    return SP__TRY_DONE;
}

/* The last slot of a block was claimed by the caller: let getters go on in the next block. */
static inline void sp__chain_leave_block(struct sp__chain *chain, struct sp__block *block)
{
    struct sp__block *next;
    /* acquire: pairs with the release in sp__chain_enter_block; short: the putter that claimed the slot is about to store it */
    for (unsigned i = 0; (next = sp__load_acquire(&block->next)) == NULL;)
        sp__chain_pass_moment(&i);
    sp__add_relaxed(&chain->back.behind, 1); /* relaxed: a count; the READ of our own slot, later, lets the block go */
    sp__store_relaxed(&chain->head.block, next); /* relaxed: the position publishes it */
    /* release: pairs with the acquire in sp__chain_get_once */
    sp__add_release(&chain->head.position, 1);
}

static inline void sp__chain_finish_get(struct sp__chain *chain, sp__slot_word *slot, const struct sp__taker *taker)
{
    /* acquire: pairs with the release in sp__chain_finish_put; the item may be read */
    for (unsigned i = 0; sp__load_acquire(slot) != SP__SLOT_FULL;)
        sp__chain_pass_moment(&i); /* its putter is between claim and copy */
    sp__chain_read(chain, slot, taker);
    /* release: pairs with the acquire in sp__chain_unlink_oldest.  LAST TOUCH of the block. */
    sp__store_release(slot, SP__SLOT_READ);
}

/* A slot is claimed: take its item. */
static inline void sp__chain_take(struct sp__chain *chain, struct sp__block *block, uint64_t offset,
                                  const struct sp__taker *taker)
{
    bool is_last = offset + 1 == SP__BLOCK_SLOTS;
    if (is_last)
        sp__chain_leave_block(chain, block);
    sp__chain_finish_get(chain, sp__chain_state(chain, block, offset), taker);
    if (is_last)
        sp__chain_trim(chain);
}

/* *ret_slower: another getter was faster, and nothing else is said. */
static inline enum sp__tried sp__chain_get_once(struct sp__chain *chain, const struct sp__taker *taker,
                                                bool *ret_slower)
{
    /* acquire: pairs with the release in sp__chain_leave_block */
    uint64_t position = sp__load_acquire(&chain->head.position);
    struct sp__block *block = sp__load_relaxed(&chain->head.block); /* relaxed: as in sp__chain_claim_once */
    uint64_t offset = position % SP__BLOCK_LAP;
    *ret_slower = false;
    if (offset == SP__BLOCK_SLOTS)
        return SP__TRY_BUSY;
    enum sp__tried tried = sp__chain_look(chain, position);
    if (tried != SP__TRY_DONE)
        return tried;
    /* seq_cst: in one order with the loads of a getter that is about to sleep, and of the size; and the load of the block,
       above, happens before the store in sp__chain_leave_block by a later getter */
    *ret_slower = !sp__cas_seq_cst(&chain->head.position, &position, position + 1);
    if (!*ret_slower)
        sp__chain_take(chain, block, offset, taker);
    return tried;
}

static inline enum sp__tried sp__chain_take_first(struct sp__chain *chain, const struct sp__taker *taker)
{
    for (unsigned tries = 0;; tries++) {
        bool slower;
        enum sp__tried tried = sp__chain_get_once(chain, taker, &slower);
        if (!slower)
            return tried;
        sp__chain_back_off(tries);
    }
}

#endif
