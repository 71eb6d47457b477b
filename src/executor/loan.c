/* A worker that sleeps in its task's wait gives its permit to another, who runs first what is waited for.

   SPDX-License-Identifier: MIT */
#include "executor/pool.h"

/* Go on to the next awaited future that is queued here.  False: there is none. */
static bool advance(const struct sp__pool *pool, struct sp__loan *loan)
{
    for (; loan->next < loan->n; loan->next++) {
        const sp_future *future = loan->awaited[loan->next];
        if (future->owner == &pool->base.owner && sp__future_phase(future) == SP__PENDING)
            return true;
    }
    return false;
}

/* Under the lock. */
static void forget(struct sp__pool *pool, struct sp__loan *loan)
{
    sp__list_remove(&loan->link);
    sp__sub_relaxed(&pool->wanted, 1); /* relaxed: too high for a moment costs a look */
}

sp_future *sp__take_awaited(struct sp__pool *pool)
{
    sp_future *future = NULL;
    sp_lock_acquire(&pool->lock);
    while (future == NULL && !sp__list_empty(&pool->loans)) {
        struct sp__loan *loan = sp__container_of(pool->loans.next, struct sp__loan, link);
        if (advance(pool, loan))
            future = sp_future_retain(loan->awaited[loan->next++]);
        else
            forget(pool, loan);
    }
    sp_lock_release(&pool->lock);
    return future;
}

bool sp__pool_lend(struct sp__owner *owner, struct sp__loan *loan)
{
    struct sp__pool *pool = sp__container_of(owner, struct sp__pool, base.owner);
    struct sp__worker *worker = sp__worker_self(pool);
    if (worker == NULL)
        return true; /* in its finalizer it has no permit to lend */
    if (!worker
             ->initialized) { /* it keeps its permit, or each new worker would bring the next; but nobody is to rely on it */
        if (worker->searching)
            sp__stop_searching(worker);
        return false;
    }
    worker->lends++;
    bool wanted = advance(pool, loan);
    sp_lock_acquire(&pool->lock);
    pool->lent++;
    if (wanted) {
        sp__list_append(&pool->loans, &loan->link);
        sp__add_seq_cst(&pool->wanted, 1); /* seq_cst: before the look at the crew, as what is queued */
    }
    sp_lock_release(&pool->lock);
    uint64_t seen = sp__crew_step_aside(&pool->crew);
    int error = sp__crew_needs_one(seen, pool->max_workers) && sp__has_tasks(pool) ? sp__call_worker(pool) : 0;
    if (error == 0)
        return true;
    sp_lock_acquire(&pool->lock);
    wanted = advance(pool, loan);
    sp_lock_release(&pool->lock);
    if (!wanted) /* else the caller runs what it waits for itself, or its time will be up */
        sp__pool_give_up(pool, error);
    owner->give_back(owner, loan);
    return false;
}

void sp__pool_give_back(struct sp__owner *owner, struct sp__loan *loan)
{
    struct sp__pool *pool = sp__container_of(owner, struct sp__pool, base.owner);
    struct sp__worker *worker = sp__worker_self(pool);
    if (worker == NULL || sp__executor_is_inherited(&pool->base))
        return;
    sp_lock_acquire(&pool->lock);
    pool->lent--;
    if (sp__list_linked(&loan->link))
        forget(pool, loan);
    sp_lock_release(&pool->lock);
    sp__crew_step_back(&pool->crew);
    worker->lends--;
}
