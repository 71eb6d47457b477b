/* What a worker does with its permit while its task waits for futures of the pool.

   It lends it: another worker runs meanwhile, and runs first what is waited for.  A wait for something that is queued always
   lends, because it may be that nobody else can run it.  A wait for what runs already needs nobody; it lends as well, so that
   others run in its place, but only while few do.  Beyond that it keeps its permit, unless all who hold one sleep and something
   is queued: then, perhaps, what runs needs that.  README.md has the proof.

   SPDX-License-Identifier: MIT */
#include "executor/pool.h"
#include "os/os.h"

/* All sleep: so long it may be that one of them has just been woken, and has not run yet.  Twice as long after each that gave
   up its permit in vain, up to about a second: it is more likely that what runs needs something else. */
#define GRACE_NANOSECONDS INT64_C(1000000)
enum { MOST_DOUBLINGS = 10 };

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

/* ---- initializers ---- */

/* Is all that is not done queued here? */
static bool waits_for_queue_alone(const struct sp__pool *pool, const struct sp__loan *loan)
{
    for (size_t i = 0; i < loan->n; i++) {
        const sp_future *future = loan->awaited[i];
        if (!sp__future_is_done(future) &&
            (future->owner != &pool->base.owner || sp__future_phase(future) != SP__PENDING))
            return false;
    }
    return true;
}

/* Under the lock: count in (1) or out (-1) an initializer that waits. */
static void count_stuck(struct sp__pool *pool, const struct sp__loan *loan, int change)
{
    if (!loan->stuck)
        return;
    pool->stuck += (unsigned)change;
    if (loan->for_ever)
        pool->stuck_for_good += (unsigned)change;
}

/* An initializer has no permit to lend, and runs nothing itself: for others than it is there must be somebody else.  When all
   workers that there may be are initializers that wait so, nobody is. */
static sp_status wait_in_initializer(struct sp__worker *worker, struct sp__loan *loan)
{
    struct sp__pool *pool = worker->pool;
    sp_lock_acquire(&pool->lock);
    loan->stuck = waits_for_queue_alone(pool, loan);
    count_stuck(pool, loan, 1);
    bool hopeless = loan->stuck && loan->for_ever && pool->stuck_for_good == pool->workers &&
                    pool->workers >= pool->max_workers;
    if (hopeless)
        count_stuck(pool, loan, -1);
    sp_lock_release(&pool->lock);
    if (hopeless) {
        worker->lends--;
        return SP_DEADLOCK;
    }
    int error = sp__has_tasks(pool) ? sp__call_worker(pool) : 0;
    if (error != 0)
        sp__pool_give_up(pool, error);
    return SP_OK;
}

/* ---- tasks ---- */

/* Under the lock: the permit is to be kept. */
static void keep(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    pool->moved_at = sp__os_now();
    sp__list_append(&pool->keepers, &worker->keeper);
    sp__add_relaxed(&pool->kept, 1);   /* relaxed: published by the next */
    sp__add_seq_cst(&pool->parked, 1); /* seq_cst: before the look when it sleeps; pairs with sp__see_to_it */
}

/* Under the lock. */
static void keep_no_longer(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp__list_remove(&worker->keeper);
    sp__sub_relaxed(&pool->kept, 1);   /* relaxed: too many for a moment costs a look */
    sp__sub_relaxed(&pool->parked, 1); /* relaxed: as above */
}

/* Under the lock: the one that has kept its permit for longest lends it.  Whose it is now is for the caller to say.  False:
   there is none. */
static bool have_one_lend(struct sp__pool *pool)
{
    if (sp__list_empty(&pool->keepers))
        return false;
    struct sp__worker *worker = sp__container_of(pool->keepers.next, struct sp__worker, keeper);
    keep_no_longer(worker);
    worker->lent = true;
    pool->lent++;
    return true;
}

/* Under the lock: is the permit to be kept?  It is no compensation to give up one too many. */
static bool may_keep(const struct sp__pool *pool)
{
    return pool->lent >= pool->max_compensation && sp__crew_awake(sp__crew_look(&pool->crew)) <= pool->max_workers;
}

/* Under the lock: keep the permit, or lend it.  True: somebody may have to be called. */
static bool keep_or_lend(struct sp__worker *worker, struct sp__loan *loan)
{
    struct sp__pool *pool = worker->pool;
    bool wanted = advance(pool, loan);
    worker->keeps = !wanted && may_keep(pool);
    if (worker->keeps) {
        keep(worker);
        return false;
    }
    worker->lent = true;
    pool->lent++;
    if (wanted) {
        sp__list_append(&pool->loans, &loan->link);
        sp__add_seq_cst(&pool->wanted, 1); /* seq_cst: before the look at the crew, as what is queued */
    }
    return sp__crew_needs_one(sp__crew_step_aside(&pool->crew), pool->max_workers);
}

/* Nobody can be had to run what the caller wants. */
static void give_up_unless_wanted(struct sp__pool *pool, struct sp__loan *loan, int error)
{
    sp_lock_acquire(&pool->lock);
    bool wanted = advance(pool, loan);
    sp_lock_release(&pool->lock);
    if (!wanted) /* else the caller runs what it waits for itself, or its time will be up */
        sp__pool_give_up(pool, error);
}

sp_status sp__pool_lend(struct sp__owner *owner, struct sp__loan *loan)
{
    struct sp__pool *pool = sp__container_of(owner, struct sp__pool, base.owner);
    struct sp__worker *worker = sp__worker_self(pool);
    if (worker == NULL || worker->lends++ > 0)
        return SP_OK; /* in its finalizer it has no permit; in a hook of its sleep it has lent it already */
    if (!worker->initialized)
        return wait_in_initializer(worker, loan);
    sp_lock_acquire(&pool->lock);
    bool needs_one = keep_or_lend(worker, loan);
    sp_lock_release(&pool->lock);
    int error = needs_one && sp__has_tasks(pool) ? sp__call_worker(pool) : 0;
    if (error == 0)
        return SP_OK;
    give_up_unless_wanted(pool, loan, error);
    owner->give_back(owner, loan);
    return SP_OS_ERROR;
}

/* Under the lock: the worker goes on, with the permit of another that has kept its own so far, or with one that there may be
   or not. */
static void take_permit(struct sp__worker *worker, struct sp__loan *loan)
{
    struct sp__pool *pool = worker->pool;
    worker->lent = false;
    pool->lent--;
    if (sp__list_linked(&loan->link))
        forget(pool, loan);
    if (!have_one_lend(pool))
        sp__crew_step_back(&pool->crew);
}

/* Under the lock: the worker's wait is over. */
static void go_on(struct sp__worker *worker, struct sp__loan *loan)
{
    struct sp__pool *pool = worker->pool;
    pool->reliefs = 0;
    if (!sp__list_empty(&pool->keepers))
        pool->moved_at = sp__os_now();
    if (worker->lent)
        take_permit(worker, loan);
    else
        keep_no_longer(worker);
    worker->keeps = false;
}

void sp__pool_give_back(struct sp__owner *owner, struct sp__loan *loan)
{
    struct sp__pool *pool = sp__container_of(owner, struct sp__pool, base.owner);
    struct sp__worker *worker = sp__worker_self(pool);
    if (worker == NULL || --worker->lends > 0 || sp__executor_is_inherited(&pool->base))
        return;
    sp_lock_acquire(&pool->lock);
    if (worker->initialized)
        go_on(worker, loan);
    else
        count_stuck(pool, loan, -1);
    sp_lock_release(&pool->lock);
}

/* Under the lock: when may one that keeps its permit be made to give it up?  SP__NEVER: none does, or not all sleep. */
static int64_t relief_at(const struct sp__pool *pool, int64_t now)
{
    if (sp__list_empty(&pool->keepers) || !sp__all_sleep(pool))
        return SP__NEVER;
    /* The permit given up last is for a worker that is on its way, and looks when it is here: this is for one that never
       comes.  relaxed: under the lock */
    if (sp__load_relaxed(&pool->starting) > pool->stuck)
        return now + SP__STARVES_AFTER;
    return pool->moved_at + (GRACE_NANOSECONDS << (pool->reliefs < MOST_DOUBLINGS ? pool->reliefs : MOST_DOUBLINGS));
}

int64_t sp__relieve(struct sp__pool *pool)
{
    int64_t now = sp__os_now();
    sp_lock_acquire(&pool->lock);
    int64_t at = relief_at(pool, now);
    bool relieves = at <= now && sp__has_tasks(pool) && have_one_lend(pool);
    if (relieves) {
        pool->moved_at = now;
        pool->reliefs++;
        (void)sp__crew_step_aside(&pool->crew);
    }
    sp_lock_release(&pool->lock);
    int error = relieves ? sp__call_worker(pool) : 0;
    if (error == 0)
        return at > now ? at : SP__NEVER;
    sp__pool_give_up(pool, error);
    return now + SP__STARVES_AFTER;
}
