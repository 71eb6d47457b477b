/* The queue from the inside: where its items lie, and who sleeps for what.

   SPDX-License-Identifier: MIT */
#ifndef SP_QUEUE_QUEUE_H
#define SP_QUEUE_QUEUE_H

#include <stdbool.h>

#include <spool/lock.h>
#include <spool/queue.h>

#include "base/nested.h"
#include "park/deadline.h"
#include "park/park.h"
#include "queue/chain.h"
#include "queue/pile.h"
#include "queue/ring.h"

enum sp__store_kind {
    SP__RING_STORE,  /* FIFO with a bound */
    SP__CHAIN_STORE, /* FIFO without */
    SP__PILE_STORE   /* everything else, under a lock */
};

/* LIFO, PRIORITY, and a FIFO with a bound too large for a ring. */
struct sp__locked_pile {
    sp_lock lock;
    struct sp__pile pile; /* guarded by lock */
    uint64_t puts, gets;  /* atomic, written under lock: how many there were */
    uint32_t closed;      /* atomic, written under lock */
};

/* Who sleeps for one of the three things that a queue is waited for. */
struct sp__sleepers {
    uint64_t word; /* atomic; see sleepers_protocol.h */
    enum sp__kind kind;
};

#include "queue/sleepers_protocol.h"

/* In `done`: somebody may sleep in join.  Stale: one look at a bucket. */
#define SP__JOINED ((uint64_t)1 << 63)

/* How long a getter, or a putter, pauses before it looks again: a guess that any of them may change. */
struct sp__patience {
    uint32_t pauses; /* atomic */
    uint32_t since;  /* atomic; so many items had been taken, or put, when last one paused */
};

struct sp_queue {
    uint32_t refs;            /* atomic */
    uint32_t process;         /* set once; sp__process_number when it was made: elsewhere it is closed */
    enum sp__store_kind kind; /* set once */
    size_t item_size;         /* set once */
    size_t maxsize;           /* set once; 0: no bound */
    void (*drop)(void *item); /* set once; or NULL */
    struct sp__sleepers putters, getters;
    struct sp__nested_call last; /* when nobody holds the queue any more: what is left to be dropped */
    struct sp__patience get_patience SP__APART, put_patience SP__APART;
    uint64_t done SP__APART; /* atomic; for so many items task_done was called, or nobody will; JOINED; parked on */
    union {
        struct sp__ring ring;
        struct sp__chain chain;
        struct sp__locked_pile pile;
    } store SP__APART;
};

/* What an operation does with the queue when it is sure of its item or of its room, but nobody else can have got either: from
   the next store on whoever gets it may free the queue.  It unlinks the sleepers that it will wake, and wakes them after the
   store. */
struct sp__last_look {
    struct sp__sleepers *others;              /* whom the operation may have to wake; NULL: nobody */
    void (*look)(struct sp__last_look *last); /* more to be done after a wait, or NULL */
    struct sp__list woken;                    /* made when it is needed */
    bool wakes;                               /* there is something in `woken` */
};

/* ---- sleepers.c ---- */
/* Unlink one of them, unless one is on its way. */
void sp__sleepers_unlink_slow(struct sp__sleepers *sleepers, struct sp__last_look *last);
static inline void sp__sleepers_unlink(struct sp__sleepers *sleepers, struct sp__last_look *last)
{
    if (sp__sleepers_need_one(sleepers))
        sp__sleepers_unlink_slow(sleepers, last);
}
static inline void sp__look_last(struct sp__last_look *last)
{
    if (last->look != NULL)
        last->look(last);
    if (last->others != NULL)
        sp__sleepers_unlink(last->others, last);
}
/* After the store. */
static inline void sp__wake_looked_at(struct sp__last_look *last)
{
    if (last->wakes)
        sp__wake_unlinked(&last->woken);
    last->wakes = false;
}
void sp__sleepers_wake_all(struct sp__sleepers *sleepers);
/* Sleep while must_wait(queue).  *ret_woken: one of these wake-ups has reached the caller, who owes the next one. */
enum sp__parked sp__sleepers_sleep(struct sp__sleepers *sleepers, const sp_queue *queue,
                                   bool (*must_wait)(const sp_queue *), int64_t deadline);

/* ---- store.c: tries, without waiting ---- */
/* False: no memory. */
bool sp__store_init(sp_queue *queue, const sp_queue_options *options);
void sp__store_free(sp_queue *queue);
/* A try that is done has called sp__look_last(), and not touched the queue after the store that came then; the caller wakes. */
enum sp__tried sp__store_put_elsewhere(sp_queue *queue, const void *item, struct sp__last_look *last);
enum sp__tried sp__store_get_elsewhere(sp_queue *queue, void *ret_item, struct sp__last_look *last);
static inline enum sp__tried sp__store_put(sp_queue *queue, const void *item, struct sp__last_look *last)
{
    uint64_t position;
    if (queue->kind != SP__RING_STORE)
        return sp__store_put_elsewhere(queue, item, last);
    enum sp__tried tried = sp__ring_claim_put(&queue->store.ring, &position);
    if (tried != SP__TRY_DONE)
        return tried;
    sp__look_last(last);
    sp__ring_finish_put(&queue->store.ring, position, item);
    return SP__TRY_DONE;
}
static inline enum sp__tried sp__store_get(sp_queue *queue, void *ret_item, struct sp__last_look *last)
{
    struct sp__taker taker = { ret_item, NULL, queue->item_size };
    uint64_t position;
    if (queue->kind != SP__RING_STORE)
        return sp__store_get_elsewhere(queue, ret_item, last);
    enum sp__tried tried = sp__ring_claim_get(&queue->store.ring, &position);
    if (tried != SP__TRY_DONE)
        return tried;
    sp__look_last(last);
    sp__ring_finish_get(&queue->store.ring, position, &taker);
    return SP__TRY_DONE;
}
/* Give what is left to queue->drop.  Returns how many there were.  pre: it is closed. */
uint64_t sp__store_drop(sp_queue *queue);
/* Nothing is put any more. */
void sp__store_close(sp_queue *queue);
/* So many items were put so far. */
uint64_t sp__store_puts(const sp_queue *queue);
/* So many were taken so far. */
uint64_t sp__store_gets(const sp_queue *queue);
/* So many are in it; exact at some moment of the call. */
size_t sp__store_size(const sp_queue *queue);
/* Has a getter, or a putter, that was counted as a sleeper before reason to wait?  May say yes only if every change that
   would end the wait is still to come. */
bool sp__store_is_empty_and_open(const sp_queue *queue);
bool sp__store_is_full_and_open(const sp_queue *queue);

#endif
