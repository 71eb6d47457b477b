/* What lies in a queue and will not run: it was cancelled, or whoever waits for it runs it, or the pool ends it.

   In the inbox nothing like that stays: it is taken out of the middle.  From a deque only the first and the last can be taken,
   the last by its worker alone.  So the dead are counted there, and when they are half of what lies there the worker drops
   them; so does everybody who meets one.

   A future that is put into a deque is dead in it once, if it is ended or claimed by somebody who has not taken it out of there;
   and then it is met once, by who takes it out and finds that.  The former counts it, the latter counts it out, in either
   order: whoever comes second, under the place lock, sees in `place` what the first has done.

   SPDX-License-Identifier: MIT */
#include "base/pause.h"
#include "executor/pool.h"

/* ---- counting ---- */

void sp__tell_of_room(struct sp__pool *pool)
{
    /* seq_cst: after the inbox has counted it out; pairs with the count before a submitter looks for room */
    if (pool->max_pending == 0 || sp__load_seq_cst(&pool->without_room) == 0)
        return;
    sp_lock_acquire(&pool->lock);
    sp_condition_notify(&pool->room, 1);
    sp_lock_release(&pool->lock);
}

void sp__count_done(struct sp__pool *pool, uint64_t count)
{
    if (sp__executor_is_inherited(&pool->base))
        return; /* a callback or a drop of what was done has forked */
    sp_lock_acquire(&pool->lock);
    pool->completed += count;
    sp_condition_notify_all(&pool->quiet);
    sp_condition_notify_all(&pool->room);
    sp_lock_release(&pool->lock);
}

/* Under the place lock: the future lies in a deque, or did a moment ago, and will not run.  It is counted there until it is
   met, unless it has been met already. */
static void count_dead_locked(sp_future *future)
{
    uintptr_t place = sp__load_relaxed(&future->place); /* relaxed: under the place lock, as all below */
    if ((place & SP__IN_DEQUE) == 0)
        return;
    sp__add_relaxed(&sp__deque_of(future)->dead, 1); /* relaxed: a count */
    sp__store_relaxed(&future->place, place | SP__COUNTED_DEAD);
}

/* Under the place lock: the future was taken out of its queue.  If it is dead it is not counted there any more. */
static void count_met(sp_future *future)
{
    uintptr_t place = sp__load_relaxed(&future->place); /* relaxed: under the place lock, as all below */
    if ((place & SP__IN_DEQUE) == 0)
        return;
    if (place & SP__COUNTED_DEAD)
        sp__sub_relaxed(&sp__deque_of(future)->dead, 1); /* relaxed: as above */
    sp__store_relaxed(&future->place, 0);
}

void sp__drop_dead(sp_future *future)
{
    sp__place_lock(future); /* also: who cancelled it may still need the pool */
    count_met(future);
    sp__place_unlock(future);
    sp_future_release(future);
}

void sp__count_dead(sp_future *future)
{
    sp__place_lock(future);
    count_dead_locked(future);
    sp__place_unlock(future);
}

bool sp__take_out(struct sp__pool *pool, sp_future *future)
{
    struct sp__deque *deque = sp__deque_of(future);
    if (deque != NULL)
        return sp__deque_take_first(deque, future);
    bool taken = sp__inbox_remove(&pool->inbox, future);
    if (taken)
        sp__tell_of_room(pool);
    return taken;
}

bool sp__forsake(struct sp__pool *pool, sp_future *future)
{
    if (sp__take_out(pool, future))
        return true;
    sp__count_dead(future);
    return false;
}

bool sp__pool_claimed(struct sp__owner *owner, void *self, sp_future *future)
{
    struct sp__pool *pool = sp__container_of(owner, struct sp__pool, base.owner);
    struct sp__worker *worker = self;
    if (worker == NULL) { /* a finalizer waits */
        sp__count_done(pool, 1);
        return sp__forsake(pool, future);
    }
    /* relaxed: our own store; the task that waits for it is not done yet, and publishes it with its own end */
    sp__store_relaxed(&worker->completed, sp__load_relaxed(&worker->completed) + 1);
    if (worker->deque != NULL && sp__deque_take_back(worker->deque, future))
        return true;
    bool ours = sp__forsake(pool, future);
    sp__pool_tidy(owner, worker);
    return ours;
}

bool sp__pool_cancelled(struct sp__owner *owner, sp_future *future)
{
    struct sp__pool *pool = sp__container_of(owner, struct sp__pool, base.owner);
    bool ours = sp__take_out(pool, future);
    if (!ours)
        count_dead_locked(future);
    SP__PAUSE("dead: cancelled");
    sp__count_done(pool, 1);
    return ours;
}

/* It lies nowhere any more. */
static void link_alone(sp_future *future, sp_future *next)
{
    sp__place_lock(future);
    count_met(future);
    sp__store_relaxed(&future->next, next); /* relaxed: as in count_met */
    sp__place_unlock(future);
}

/* Under `sifting`: take all out of the worker's deque and put back, in their order, those that can run.  *ret_dead: the others,
   linked by next.  How many were put back. */
static unsigned sift(struct sp__worker *worker, sp_future **ret_dead)
{
    sp_future **sifted = worker->pool->sifted, *future;
    unsigned alive = 0;
    *ret_dead = NULL;
    while (alive < SP__DEQUE_SLOTS && (future = sp__deque_take(worker->deque)) != NULL)
        if (sp__future_phase(future) == SP__PENDING) {
            sifted[alive++] = future;
        } else {
            link_alone(future, *ret_dead);
            *ret_dead = future;
        }
    SP__PAUSE("dead: taken out");
    for (unsigned i = 0; i < alive; i++)
        (void)sp__deque_put(worker->deque, sifted[i]); /* there is room: nobody else puts */
    return alive;
}

/* By the worker: drop the dead in its deque. */
static void sweep(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_future *dead;
    sp_lock_acquire(&pool->sifting);
    unsigned alive = sift(worker, &dead);
    sp_lock_release(&pool->sifting);
    if (alive > 0)
        (void)sp__see_to_it(pool); /* who looked meanwhile has not seen them; if none can be started, there are we */
    for (sp_future *next; dead != NULL && !sp__executor_is_inherited(&pool->base); dead = next) {
        next = dead->next;
        sp_future_release(dead);
    }
}

void sp__pool_tidy(struct sp__owner *owner, void *self)
{
    struct sp__worker *worker = self;
    (void)owner;
    if (worker == NULL || worker->deque == NULL || sp__executor_is_inherited(&worker->pool->base))
        return;
    int64_t dead = sp__load_relaxed(&worker->deque->dead); /* relaxed: a count */
    if (dead > 0 && 2 * dead >= (int64_t)sp__deque_size(worker->deque))
        sweep(worker);
}

/* ---- ending all ---- */

/* Everything that is queued, linked by next, with the references. */
static sp_future *take_all(struct sp__pool *pool)
{
    sp_future *chain = sp__inbox_take_all(&pool->inbox), *future;
    sp_lock_acquire(&pool->sifting);
    struct sp__deque *deque;
    for (unsigned at = 0; (deque = sp__next_deque(pool, &at)) != NULL; at++)
        while ((future = sp__deque_take(deque)) != NULL) {
            link_alone(future, chain);
            chain = future;
        }
    sp_lock_release(&pool->sifting);
    return chain;
}

void sp__end_queued(struct sp__pool *pool, bool (*end)(sp_future *future, void *context), void *context)
{
    struct sp__ending self = { .runner = sp__self_id() };
    uint64_t count = 0;
    sp_lock_acquire(&pool->lock);
    sp__list_append(&pool->endings, &self.link);
    sp_lock_release(&pool->lock);
    for (sp_future *at = take_all(pool), *next; at != NULL && !sp__executor_is_inherited(&pool->base); at = next) {
        next = at->next;
        count += end(at, context);
    }
    if (sp__executor_is_inherited(&pool->base))
        return;
    sp_lock_acquire(&pool->lock);
    sp__list_remove(&self.link);
    sp_lock_release(&pool->lock);
    sp__count_done(pool, count);
}

bool sp__is_ending_queued(const struct sp__pool *pool)
{
    const struct sp__list *const all = &pool->endings;
    for (const struct sp__list *at = all->next; at != all; at = at->next)
        if (sp__runner_on_stack(sp__container_of(at, const struct sp__ending, link)->runner))
            return true;
    return false;
}
