/* One interface to the three places where items lie; no waiting here.

   SPDX-License-Identifier: MIT */
#include "base/pause.h"
#include "park/spin.h"
#include "queue/queue.h"

enum { LARGEST_CHAINED = 256 }; /* bytes; a block has room for many items */

void sp__put_item_watched(void *slot, const void *item, size_t size)
{
    SP__TELL_ACQUIRE(slot);
    memcpy(slot, item, size);
    SP__TELL_RELEASE(slot);
}

void sp__drop_item(void (*drop)(void *item), void *item)
{
    if (drop != NULL)
        (void)sp__os_call_firmly("a drop function", (void (*)(void))drop, item, NULL);
}

void sp__take_item_watched(const struct sp__taker *taker, void *from)
{
    SP__TELL_ACQUIRE(from);
    if (taker->to != NULL)
        memcpy(taker->to, from, taker->size);
    else
        sp__drop_item(taker->drop, from);
    SP__TELL_RELEASE(from);
}

bool sp__store_init(sp_queue *queue, const sp_queue_options *options)
{
    if (options->order == SP_FIFO && options->maxsize == 0 && queue->item_size <= LARGEST_CHAINED) {
        queue->kind = SP__CHAIN_STORE;
        return sp__chain_init(&queue->store.chain, queue->item_size);
    }
    if (options->order == SP_FIFO && options->maxsize != 0 && sp__ring_fits(options->maxsize, queue->item_size)) {
        queue->kind = SP__RING_STORE;
        return sp__ring_init(&queue->store.ring, options->maxsize, queue->item_size);
    }
    queue->kind = SP__PILE_STORE;
    sp__pile_init(&queue->store.pile.pile, queue->item_size, options->order, options->compare);
    return true;
}

void sp__store_free(sp_queue *queue)
{
    switch (queue->kind) {
    case SP__RING_STORE:
        sp__ring_free(&queue->store.ring);
        break;
    case SP__CHAIN_STORE:
        sp__chain_free(&queue->store.chain);
        break;
    case SP__PILE_STORE:
        sp__pile_free(&queue->store.pile.pile);
        break;
    }
}

/* ---- under the lock of a pile ---- */

static enum sp__tried pile_put(sp_queue *queue, const void *item, struct sp__last_look *last)
{
    struct sp__locked_pile *store = &queue->store.pile;
    enum sp__tried tried = SP__TRY_DONE;
    sp_lock_acquire(&store->lock);
    if (sp__load_relaxed(&store->closed)) /* relaxed: under the lock */
        tried = SP__TRY_CLOSED;
    else if (queue->maxsize != 0 && store->pile.size >= queue->maxsize)
        tried = SP__TRY_NOT_NOW;
    else if (!sp__pile_reserve(&store->pile))
        tried = SP__TRY_NO_MEMORY;
    if (tried == SP__TRY_DONE) {
        sp__pile_push(&store->pile, item);
        sp__add_seq_cst(&store->puts, 1); /* seq_cst: before the putter looks for sleeping getters */
        sp__look_last(last);
    }
    sp_lock_release(&store->lock); /* LAST TOUCH, if it is done */
    return tried;
}

static enum sp__tried pile_get(sp_queue *queue, void *ret_item, struct sp__last_look *last)
{
    struct sp__locked_pile *store = &queue->store.pile;
    enum sp__tried tried = SP__TRY_DONE;
    sp_lock_acquire(&store->lock);
    if (store->pile.size == 0) {
        tried = sp__load_relaxed(&store->closed) ? SP__TRY_CLOSED : SP__TRY_NOT_NOW; /* relaxed: under the lock */
    } else {
        sp__pile_pop(&store->pile, ret_item);
        sp__add_seq_cst(&store->gets, 1); /* seq_cst: before the getter looks for sleeping putters */
        sp__look_last(last);
    }
    sp_lock_release(&store->lock); /* LAST TOUCH, if it is done */
    return tried;
}

/* All that is left, out of the lock: `drop` may call the queue. */
static uint64_t pile_drop(sp_queue *queue)
{
    struct sp__locked_pile *store = &queue->store.pile;
    sp_lock_acquire(&store->lock);
    struct sp__pile left = store->pile;
    sp__pile_init(&store->pile, left.item_size, left.order, left.compare);
    uint64_t n = left.size;
    sp__add_seq_cst(&store->gets, n); /* seq_cst: as in pile_get */
    sp_lock_release(&store->lock);
    while (queue->drop != NULL && left.size > 0)
        sp__pile_drop_next(&left, queue->drop);
    sp__pile_free(&left);
    return n;
}

/* ---- the interface ---- */

enum sp__tried sp__store_put_elsewhere(sp_queue *queue, const void *item, struct sp__last_look *last)
{
    sp__slot_word *slot;
    if (queue->kind != SP__CHAIN_STORE)
        return pile_put(queue, item, last);
    enum sp__tried tried = sp__chain_claim_put(&queue->store.chain, &slot);
    if (tried != SP__TRY_DONE)
        return tried;
    sp__look_last(last);
    sp__chain_finish_put(&queue->store.chain, slot, item);
    return SP__TRY_DONE;
}

enum sp__tried sp__store_get_elsewhere(sp_queue *queue, void *ret_item, struct sp__last_look *last)
{
    struct sp__taker taker = { ret_item, NULL, queue->item_size };
    if (queue->kind != SP__CHAIN_STORE)
        return pile_get(queue, ret_item, last);
    enum sp__tried tried = sp__chain_get(&queue->store.chain, &taker);
    if (tried == SP__TRY_DONE) /* nobody waits for room here, nor frees the queue for it */
        sp__look_last(last);
    return tried;
}

/* The oldest item of a ring that is closed, so that nobody puts into its slot again.  The slot is given back before `drop`
   sees the item: whoever came to it in the next lap, `drop` itself or another thread, would spin until `drop` has returned. */
static enum sp__tried ring_drop_next(sp_queue *queue)
{
    struct sp__ring *ring = &queue->store.ring;
    struct sp__taker nobody = { NULL, NULL, queue->item_size };
    uint64_t position;
    enum sp__tried tried = sp__ring_claim_get(ring, &position);
    if (tried != SP__TRY_DONE)
        return tried;
    sp__ring_finish_get(ring, position, &nobody);
    sp__drop_item(queue->drop, SP__RING_ITEM(ring, sp__ring_index(ring, position)));
    return SP__TRY_DONE;
}

uint64_t sp__store_drop(sp_queue *queue)
{
    struct sp__taker dropper = { NULL, queue->drop, queue->item_size };
    uint64_t dropped = 0;
    unsigned moments = 0;
    if (queue->kind == SP__PILE_STORE)
        return pile_drop(queue);
    SP__PAUSE("store: to be dropped");
    for (;;) {
        enum sp__tried tried = queue->kind == SP__RING_STORE ? ring_drop_next(queue)
                                                             : sp__chain_get(&queue->store.chain, &dropper);
        if (tried == SP__TRY_DONE)
            dropped++;
        else if (tried == SP__TRY_BUSY)
            sp__pass_moment(&moments);
        else
            return dropped;
    }
}

void sp__store_close(sp_queue *queue)
{
    /* seq_cst: all three, before the sleepers are woken */
    if (queue->kind == SP__RING_STORE) {
        sp__or_seq_cst(&queue->store.ring.tail, SP__RING_CLOSED);
    } else if (queue->kind == SP__CHAIN_STORE) {
        sp__or_seq_cst(&queue->store.chain.tail.position, SP__CHAIN_CLOSED);
    } else {
        sp_lock_acquire(&queue->store.pile.lock);
        sp__or_seq_cst(&queue->store.pile.closed, 1); /* seq_cst: as above */
        sp_lock_release(&queue->store.pile.lock);
    }
}

struct counts {
    uint64_t puts, gets;
    bool closed;
};

/* puts is read before gets. */
static struct counts count(const sp_queue *queue)
{
    struct counts counts;
    /* seq_cst: all; in one order with the changes of putters and getters, see must_wait in sleepers.c */
    if (queue->kind == SP__RING_STORE) {
        const struct sp__ring *ring = &queue->store.ring;
        uint64_t tail = sp__load_seq_cst(&ring->tail);
        counts = (struct counts){ .puts = sp__ring_count(ring, tail), .closed = (tail & SP__RING_CLOSED) != 0 };
        SP__PAUSE("store: puts read");
        counts.gets = sp__ring_count(ring, sp__load_seq_cst(&ring->head)); /* seq_cst: as above */
    } else if (queue->kind == SP__CHAIN_STORE) {
        const struct sp__chain *chain = &queue->store.chain;
        uint64_t tail = sp__load_seq_cst(&chain->tail.position); /* seq_cst: as above */
        counts = (struct counts){ .puts = sp__chain_count(tail), .closed = (tail & SP__CHAIN_CLOSED) != 0 };
        SP__PAUSE("store: puts read");
        counts.gets = sp__chain_count(sp__load_seq_cst(&chain->head.position)); /* seq_cst: as above */
    } else {
        const struct sp__locked_pile *pile = &queue->store.pile;
        /* seq_cst: as above */
        counts = (struct counts){ .closed = sp__load_seq_cst(&pile->closed), .puts = sp__load_seq_cst(&pile->puts) };
        SP__PAUSE("store: puts read");
        counts.gets = sp__load_seq_cst(&pile->gets); /* seq_cst: as above */
    }
    return counts;
}

uint64_t sp__store_puts(const sp_queue *queue)
{
    return count(queue).puts;
}

uint64_t sp__store_gets(const sp_queue *queue)
{
    return count(queue).gets;
}

size_t sp__store_size(const sp_queue *queue)
{
    for (;;) {
        struct counts counts = count(queue);
        if (count(queue).puts == counts.puts) /* nothing was put in between: there was a moment with just these two */
            return counts.puts > counts.gets ? (size_t)(counts.puts - counts.gets) : 0;
    }
}

bool sp__store_is_empty_and_open(const sp_queue *queue)
{
    struct counts counts = count(queue);
    return !counts.closed && counts.puts <= counts.gets;
}

bool sp__store_is_full_and_open(const sp_queue *queue)
{
    uint64_t before = count(queue).gets;
    struct counts counts = count(queue);
    return !counts.closed && counts.puts - before >= queue->maxsize;
}
