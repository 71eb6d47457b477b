/* The unbounded FIFO: its memory, and its protocol as functions; see chain.h and README.md.

   SPDX-License-Identifier: MIT */
#include "queue/chain.h"

#include "os/os.h"

struct sp__block *sp__chain_new_block(const struct sp__chain *chain)
{
    size_t bytes = sizeof(struct sp__block) + SP__BLOCK_SLOTS * chain->slot_size;
    struct sp__block *block = sp__os_alloc(bytes);
    if (block == NULL)
        return NULL;
    block->next = NULL;
    for (uint64_t i = 0; i < SP__BLOCK_SLOTS; i++) {
        sp__slot_word *slot = sp__chain_state(chain, block, i);
        *slot = SP__SLOT_FREE;
        SP__TELL_RELEASE(sp__chain_item(chain, slot));
    }
    return block;
}

void sp__chain_free_block(struct sp__block *block)
{
    sp__os_free(block);
}

void sp__chain_was_read(const struct sp__chain *chain, struct sp__block *block)
{
    for (uint64_t i = 0; SP__WATCHED && i < SP__BLOCK_SLOTS; i++)
        SP__TELL_ACQUIRE(sp__chain_item(chain, sp__chain_state(chain, block, i)));
}

bool sp__chain_init(struct sp__chain *chain, size_t item_size)
{
    *chain = (struct sp__chain){ .item_size = item_size,
                                 .slot_size = sp__slot_size(item_size),
                                 .item_at = sp__item_offset(item_size) };
    struct sp__block *block = sp__chain_new_block(chain);
    chain->tail.block = chain->head.block = chain->back.oldest = block;
    return block != NULL;
}

void sp__chain_free(struct sp__chain *chain)
{
    for (struct sp__block *block = chain->back.oldest, *next; block != NULL; block = next) {
        next = block->next;
        sp__os_free(block);
    }
}

enum sp__tried sp__chain_claim_put(struct sp__chain *chain, sp__slot_word **ret_slot)
{
    return sp__chain_claim_slot(chain, ret_slot);
}

enum sp__tried sp__chain_get(struct sp__chain *chain, const struct sp__taker *taker)
{
    return sp__chain_take_first(chain, taker);
}
