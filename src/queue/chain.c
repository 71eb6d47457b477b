/* The unbounded FIFO; see chain.h and README.md.

   SPDX-License-Identifier: MIT */
#include "queue/chain.h"

#include "os/os.h"
#include "park/spin.h"

/* sp__put_item and sp__take_item tell a program's thread sanitizer what the slots' states order. */
#undef SP__LOUD
#define SP__LOUD 0

enum { BETWEEN = SP__BLOCK_SLOTS, KEPT_BLOCKS = 4 };

struct sp__block {
    struct sp__block *next; /* atomic; NULL until its last slot was claimed */
    _Alignas(16) unsigned char slots[];
};

static uint32_t *state_of(const struct sp__chain *chain, struct sp__block *block, uint64_t offset)
{
    return (uint32_t *)(void *)(block->slots + offset * chain->slot_size);
}

static unsigned char *item_of(const struct sp__chain *chain, struct sp__block *block, uint64_t offset)
{
    return block->slots + offset * chain->slot_size + chain->item_at;
}

static struct sp__block *new_block(const struct sp__chain *chain)
{
    size_t bytes = sizeof(struct sp__block) + SP__BLOCK_SLOTS * chain->slot_size;
    struct sp__block *block = sp__os_alloc(bytes);
    if (block == NULL)
        return NULL;
    block->next = NULL;
    for (uint64_t i = 0; i < SP__BLOCK_SLOTS; i++) {
        *state_of(chain, block, i) = SP__SLOT_FREE;
        SP__TELL_RELEASE(item_of(chain, block, i));
    }
    return block;
}

bool sp__chain_init(struct sp__chain *chain, size_t item_size)
{
    *chain = (struct sp__chain){ .item_size = item_size,
                                 .slot_size = sp__slot_size(item_size),
                                 .item_at = sp__item_offset(item_size) };
    struct sp__block *block = new_block(chain);
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

/* ---- blocks that were read ---- */

static bool take_back(struct sp__chain *chain)
{
    uint32_t not_taken = 0;
    /* acquire: pairs with the release in give_back */
    return sp__cas_acquire(&chain->back.taken, &not_taken, 1);
}

static void give_back(struct sp__chain *chain)
{
    sp__store_release(&chain->back.taken, 0); /* release: pairs with the acquire in take_back */
}

/* Take the oldest block out of the chain, if nobody needs it any more.  pre: back is taken. */
static struct sp__block *unlink_oldest(struct sp__chain *chain)
{
    struct sp__block *block = chain->back.oldest;
    /* relaxed: counted up before by who left the block, see leave_block */
    if (sp__load_relaxed(&chain->back.behind) == 0)
        return NULL;
    for (uint64_t i = SP__BLOCK_SLOTS; i-- > 0;)
        /* acquire: pairs with the release in finish_get; that was the last touch of the slot */
        if (sp__load_acquire(state_of(chain, block, i)) != SP__SLOT_READ)
            return NULL;
    for (uint64_t i = 0; SP__WATCHED && i < SP__BLOCK_SLOTS; i++)
        SP__TELL_ACQUIRE(item_of(chain, block, i));
    chain->back.oldest = sp__load_acquire(&block->next); /* acquire: pairs with the release in enter_block */
    sp__sub_relaxed(&chain->back.behind, 1);             /* relaxed: a count */
    return block;
}

/* A block for the putters: one that was read, else a new one. */
static struct sp__block *find_block(struct sp__chain *chain)
{
    struct sp__block *block = NULL;
    if (sp__load_relaxed(&chain->back.behind) > 0 && take_back(chain)) { /* relaxed: a hint */
        block = unlink_oldest(chain);
        give_back(chain);
    }
    if (block == NULL)
        return new_block(chain);
    sp__store_relaxed(&block->next, NULL); /* relaxed: the block is nobody's yet, enter_block publishes it */
    for (uint64_t i = 0; i < SP__BLOCK_SLOTS; i++)
        sp__store_relaxed(state_of(chain, block, i), SP__SLOT_FREE); /* relaxed: as above */
    return block;
}

/* Give memory back after a time of many items. */
static void trim(struct sp__chain *chain)
{
    if (sp__load_relaxed(&chain->back.behind) <= KEPT_BLOCKS || !take_back(chain)) /* relaxed: a hint */
        return;
    struct sp__block *block;
    while (sp__load_relaxed(&chain->back.behind) > KEPT_BLOCKS && /* relaxed: changed down only while taken */
           (block = unlink_oldest(chain)) != NULL)
        sp__os_free(block);
    give_back(chain);
}

/* ---- put ---- */

/* The last slot of a block was claimed by the caller: let putters go on in the next block. */
static void enter_block(struct sp__chain *chain, struct sp__block *block, struct sp__block *next)
{
    /* release: publishes the block; pairs with the acquires in sp__chain_claim_put */
    sp__store_release(&chain->tail.block, next);
    sp__add_release(&chain->tail.position, 1);
    /* release: pairs with the acquires in leave_block and unlink_oldest */
    sp__store_release(&block->next, next);
}

enum sp__tried sp__chain_claim_put(struct sp__chain *chain, void **ret_slot)
{
    struct sp__block *spare = NULL;
    enum sp__tried tried = SP__TRY_BUSY;
    for (unsigned tries = 0;; tries++) {
        /* acquire: pairs with the releases in enter_block: the block is that of the position, or of a later one, and then
           the CAS fails */
        uint64_t position = sp__load_acquire(&chain->tail.position);
        struct sp__block *block = sp__load_acquire(&chain->tail.block);
        uint64_t offset = position % SP__BLOCK_LAP;
        bool is_last = offset + 1 == SP__BLOCK_SLOTS;
        if (position & SP__CHAIN_CLOSED) {
            tried = SP__TRY_CLOSED;
            break;
        }
        if (offset == BETWEEN)
            break;
        if (is_last && spare == NULL && (spare = find_block(chain)) == NULL) {
            tried = SP__TRY_NO_MEMORY;
            break;
        }
        /* seq_cst: before the putter looks for sleeping getters; pairs with the load in sp__chain_is_empty */
        if (!sp__cas_seq_cst(&chain->tail.position, &position, position + 1)) {
            sp__back_off(tries);
            continue;
        }
        if (is_last) {
            enter_block(chain, block, spare);
            spare = NULL;
        }
        *ret_slot = state_of(chain, block, offset);
        tried = SP__TRY_DONE;
        break;
    }
    if (spare != NULL)
        sp__os_free(spare); /* somebody else was faster */
    return tried;
}

/* ---- get ---- */

bool sp__chain_is_empty(const struct sp__chain *chain)
{
    /* seq_cst: after a getter that is about to sleep was counted; pairs with the CAS in sp__chain_claim_put */
    uint64_t tail = sp__load_seq_cst(&chain->tail.position);
    return sp__chain_count(tail) <= sp__chain_count(sp__load_seq_cst(&chain->head.position));
}

/* Is there an item at `position`?  Looks at tail, which the putters write, only when what was seen last time is used up. */
static enum sp__tried look(struct sp__chain *chain, uint64_t position)
{
    if (position < sp__load_relaxed(&chain->head.tail_seen)) /* relaxed: it was true once, so it is */
        return SP__TRY_DONE;
    uint64_t tail = sp__load_seq_cst(&chain->tail.position); /* seq_cst: as in sp__chain_is_empty */
    if ((tail & ~SP__CHAIN_CLOSED) == position)
        return tail & SP__CHAIN_CLOSED ? SP__TRY_CLOSED : SP__TRY_NOT_NOW;
    sp__store_relaxed(&chain->head.tail_seen,
                      tail & ~SP__CHAIN_CLOSED); /* relaxed: as above; an older one does no harm */
    return SP__TRY_DONE;
}

/* The last slot of a block was claimed by the caller: let getters go on in the next block. */
static void leave_block(struct sp__chain *chain, struct sp__block *block)
{
    struct sp__block *next;
    /* acquire: pairs with the release in enter_block; short: whoever claimed the slot is about to store it */
    for (unsigned i = 0; (next = sp__load_acquire(&block->next)) == NULL;)
        sp__pass_moment(&i);
    sp__add_relaxed(&chain->back.behind, 1); /* relaxed: a count; the READ of our own slot, later, lets the block go */
    /* release: pairs with the acquires in sp__chain_get */
    sp__store_release(&chain->head.block, next);
    sp__add_release(&chain->head.position, 1);
}

static void finish_get(struct sp__chain *chain, struct sp__block *block, uint64_t offset, const struct sp__taker *taker)
{
    uint32_t *state = state_of(chain, block, offset);
    /* acquire: pairs with the release in sp__chain_finish_put; the item may be read */
    for (unsigned i = 0; sp__load_acquire(state) != SP__SLOT_FULL;)
        sp__pass_moment(&i); /* its putter is between claim and copy */
    sp__take_item(taker, item_of(chain, block, offset));
    /* release: pairs with the acquire in unlink_oldest.  LAST TOUCH of the block. */
    sp__store_release(state, SP__SLOT_READ);
}

enum sp__tried sp__chain_get(struct sp__chain *chain, const struct sp__taker *taker)
{
    for (unsigned tries = 0;; tries++) {
        /* acquire: pairs with the releases in leave_block, as in sp__chain_claim_put */
        uint64_t position = sp__load_acquire(&chain->head.position);
        struct sp__block *block = sp__load_acquire(&chain->head.block);
        uint64_t offset = position % SP__BLOCK_LAP;
        if (offset == BETWEEN)
            return SP__TRY_BUSY;
        enum sp__tried tried = look(chain, position);
        if (tried != SP__TRY_DONE)
            return tried;
        /* seq_cst: in one order with the loads of who is about to sleep */
        if (!sp__cas_seq_cst(&chain->head.position, &position, position + 1)) {
            sp__back_off(tries);
            continue;
        }
        bool is_last = offset + 1 == SP__BLOCK_SLOTS;
        if (is_last)
            leave_block(chain, block);
        finish_get(chain, block, offset, taker);
        if (is_last)
            trim(chain);
        return SP__TRY_DONE;
    }
}
