/* The unbounded FIFO: a chain of blocks.  chain_protocol.h has the protocol, README.md the proof that no block is used after it
   was given back.

   SPDX-License-Identifier: MIT */
#ifndef SP_QUEUE_CHAIN_H
#define SP_QUEUE_CHAIN_H

#include <stdbool.h>

#include "base/atomic.h"
#include "park/spin.h"
#include "queue/item.h"
#include "queue/tried.h"

#define SP__BLOCK_SLOTS 127u
#define SP__KEPT_BLOCKS 4u

typedef uint32_t sp__slot_word; /* a slot begins with its state */

struct sp__block {
    struct sp__block *next; /* atomic; NULL until its last slot was claimed */
    _Alignas(16) unsigned char slots[];
};

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

/* ---- the environment of the protocol ---- */

struct sp__block *sp__chain_new_block(const struct sp__chain *chain);
void sp__chain_free_block(struct sp__block *block);
void sp__chain_was_read(const struct sp__chain *chain, struct sp__block *block);

static inline sp__slot_word *sp__chain_state(const struct sp__chain *chain, struct sp__block *block, uint64_t offset)
{
    return (sp__slot_word *)(void *)(block->slots + offset * chain->slot_size);
}

static inline void *sp__chain_item(const struct sp__chain *chain, sp__slot_word *slot)
{
    return (unsigned char *)slot + chain->item_at;
}

static inline void sp__chain_write(const struct sp__chain *chain, sp__slot_word *slot, const void *item)
{
    sp__put_item(sp__chain_item(chain, slot), item, chain->item_size);
}

static inline void sp__chain_read(const struct sp__chain *chain, sp__slot_word *slot, const struct sp__taker *taker)
{
    sp__take_item(taker, sp__chain_item(chain, slot));
}

static inline void sp__chain_back_off(unsigned tries)
{
    sp__back_off(tries);
}

static inline void sp__chain_pass_moment(unsigned *round)
{
    sp__pass_moment(round);
}

/* sp__put_item and sp__take_item tell a program's thread sanitizer what the slots' states order. */
#undef SP__LOUD
#define SP__LOUD 0
#include "queue/chain_protocol.h"
#undef SP__LOUD
#define SP__LOUD 1

/* ---- chain.c ---- */

/* False: no memory. */
bool sp__chain_init(struct sp__chain *chain, size_t item_size);
/* pre: nobody uses it. */
void sp__chain_free(struct sp__chain *chain);
/* A put is a claim and, by sp__chain_finish_put, a finish; between the two nobody can get the item, after it whoever does may
   free the chain. */
enum sp__tried sp__chain_claim_put(struct sp__chain *chain, sp__slot_word **ret_slot);
enum sp__tried sp__chain_get(struct sp__chain *chain, const struct sp__taker *taker);

#endif
