/* Where a worker finds its next task, and where tasks are put.

   SPDX-License-Identifier: MIT */
#include "executor/pool.h"
#include "os/os.h"

/* Every so often the inbox comes first, and every so often the deques of others: whoever keeps submitting in one place keeps
   nobody waiting for ever in another. */
enum { FAIR = 61, INBOX_FIRST = 0, OTHERS_FIRST = 30 };
enum {
    SPARE_DEQUES = 16 /* for workers beyond max_workers, who stand in for those that wait; others use the inbox */
};

/* ---- the worker's own deque ---- */

/* Under the lock: one whose worker has ended, or NULL. */
static struct sp__deque *adopt(struct sp__pool *pool, unsigned *ret_deques)
{
    struct sp__deque *deque = sp__load_relaxed(&pool->deques); /* relaxed: changes under the lock */
    for (*ret_deques = 0; deque != NULL && deque->owned; ++*ret_deques)
        deque = deque->next;
    if (deque != NULL)
        deque->owned = true;
    return deque;
}

/* NULL: no memory, or there are enough: everybody who looks for a task looks at all of them, for as long as the pool lives. */
static struct sp__deque *get_deque(struct sp__pool *pool)
{
    unsigned deques;
    sp_lock_acquire(&pool->lock);
    struct sp__deque *deque = adopt(pool, &deques);
    sp_lock_release(&pool->lock);
    if (deque != NULL || deques >= pool->max_workers + SPARE_DEQUES)
        return deque;
    deque = sp__os_zalloc_aligned(_Alignof(struct sp__deque), sizeof *deque);
    if (deque == NULL)
        return NULL;
    deque->owned = true;
    sp_lock_acquire(&pool->lock);
    deque->next = sp__load_relaxed(&pool->deques); /* relaxed: as above */
    /* seq_cst: publishes the deque; before something is put into it, and with it before the look at the crew */
    sp__store_seq_cst(&pool->deques, deque);
    sp_lock_release(&pool->lock);
    return deque;
}

bool sp__put_own(struct sp__worker *worker, sp_future *future)
{
    if (worker->deque == NULL && !worker->without_deque)
        worker->without_deque = (worker->deque = get_deque(worker->pool)) == NULL;
    if (worker->deque == NULL)
        return false;
    uint64_t submitted = sp__load_relaxed(&worker->submitted); /* relaxed: our own store */
    /* relaxed: before the deque publishes the task, so that who has counted its end has seen this */
    sp__store_relaxed(&worker->submitted, submitted + 1);
    /* relaxed: published by the deque */
    sp__store_relaxed(&future->place, (uintptr_t)worker->deque | SP__IN_DEQUE);
    if (sp__deque_put(worker->deque, future))
        return true;
    sp__store_relaxed(&worker->submitted, submitted); /* relaxed: as it was */
    return false;
}

/* ---- looking ---- */

/* From the deques of others, beginning behind the one where something was found last. */
static sp_future *steal(struct sp__worker *worker)
{
    /* seq_cst: after our change of the crew's word; pairs with the store in get_deque */
    struct sp__deque *first = sp__load_seq_cst(&worker->pool->deques);
    struct sp__deque *begin = worker->victim != NULL ? worker->victim : first, *at = begin;
    if (at == NULL)
        return NULL;
    do {
        sp_future *future = sp__deque_take(at);
        if (future != NULL) {
            worker->victim = at->next; /* the next time another one first */
            return future;
        }
        at = at->next != NULL ? at->next : first;
    } while (at != begin);
    return NULL;
}

static sp_future *take_from_inbox(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_future *future = sp__inbox_take(&pool->inbox, !worker->searching);
    if (future != NULL)
        sp__tell_of_room(pool);
    return future;
}

sp_future *sp__find_task(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_future *future = NULL;
    /* seq_cst: as in steal; pairs with the addition in sp__pool_lend */
    if (sp__load_seq_cst(&pool->wanted) != 0 && (future = sp__take_awaited(pool)) != NULL) {
        worker->stands_in = true;
        return future;
    }
    unsigned turn = ++worker->ticks % FAIR;
    if (turn == INBOX_FIRST && (future = take_from_inbox(worker)) != NULL)
        return future;
    if (turn == OTHERS_FIRST && (future = steal(worker)) != NULL)
        return future;
    if (worker->deque != NULL && (future = sp__deque_take(worker->deque)) != NULL)
        return future;
    if ((future = take_from_inbox(worker)) != NULL)
        return future;
    return steal(worker);
}

bool sp__has_tasks(const struct sp__pool *pool)
{
    /* seq_cst: after the caller's change of the crew's word; pairs with the changes before a look at the crew */
    if (sp__load_seq_cst(&pool->wanted) != 0 || sp__inbox_size(&pool->inbox) > 0)
        return true;
    for (const struct sp__deque *at = sp__load_seq_cst(&pool->deques); at != NULL;
         at = at->next) /* seq_cst: as above */
        if (sp__deque_size(at) > 0)
            return true;
    return false;
}

uint64_t sp__count_tasks(const struct sp__pool *pool)
{
    uint64_t count = sp__inbox_size(&pool->inbox);
    /* seq_cst: as in steal */
    for (const struct sp__deque *at = sp__load_seq_cst(&pool->deques); at != NULL; at = at->next) {
        int64_t alive = (int64_t)sp__deque_size(at) - sp__load_relaxed(&at->dead); /* relaxed: a count */
        count += alive > 0 ? (uint64_t)alive : 0;
    }
    return count;
}
