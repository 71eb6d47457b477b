/* Calling workers, and sending them to sleep; README.md has the proof that no task is left behind.

   SPDX-License-Identifier: MIT */
#include "base/refcount.h"
#include "executor/pool.h"
#include "os/os.h"
#include "park/park.h"
#include "sync/condition.h"

#define SURPLUS_NANOSECONDS INT64_C(1000000000) /* an idle worker beyond max_workers stays so long */

/* Need a worker be called for what is queued?  Workers that are starting may take long in their initializers: meanwhile each
   task wants one of its own. */
static bool needs_one(const struct sp__pool *pool)
{
    uint64_t seen = sp__crew_look(&pool->crew);
    if (sp__crew_awake(seen) >= pool->max_workers)
        return false;
    if (sp__crew_searching(seen) == 0)
        return true;
    /* relaxed: a hint; those who start look themselves */
    return sp__load_relaxed(&pool->starting) > 0 && sp__count_tasks(pool) > sp__crew_searching(seen);
}

/* Under the lock: the worker that lay down last. */
static struct sp__worker *pop_sleeper(struct sp__pool *pool)
{
    struct sp__list *first = sp__list_pop_front(&pool->sleepers);
    return first != NULL ? sp__container_of(first, struct sp__worker, link) : NULL;
}

/* LAST TOUCH of the worker: it may end. */
static void wake(struct sp__worker *worker)
{
    const uint32_t *word = &worker->asleep;
    /* release: pairs with the acquire in still_asleep; it sees what it was woken for */
    sp__store_release(&worker->asleep, 0);
    sp__unpark(&(struct sp__wake){ .address = word, .kind = SP__WORKER, .most = 1, .token = SP__PARK_RECHECK });
}

/* Under the lock: count in a worker that the caller is going to start. */
static void count_in(struct sp__pool *pool)
{
    sp__crew_call(&pool->crew, false);
    sp__add_relaxed(&pool->starting, 1); /* relaxed: a hint, see needs_one */
    pool->workers++;
    pool->uncollected++;
    sp__ref_up(&pool->base.refs);
}

/* A worker could not be started: count it out of the crew's word.  Others may have relied on it, so if something is queued a
   sleeper is called in its place. */
static void make_do(struct sp__pool *pool)
{
    struct sp__worker *sleeper = NULL;
    sp__crew_uncall(&pool->crew);
    sp__sub_relaxed(&pool->starting, 1); /* relaxed: as above */
    sp_lock_acquire(&pool->lock);
    if (needs_one(pool) && sp__has_tasks(pool) && (sleeper = pop_sleeper(pool)) != NULL)
        sp__crew_call(&pool->crew, true);
    sp_lock_release(&pool->lock);
    if (sleeper != NULL)
        wake(sleeper);
}

int sp__call_worker(struct sp__pool *pool)
{
    if (!needs_one(pool))
        return 0;
    sp_lock_acquire(&pool->lock);
    if (!needs_one(pool)) { /* somebody was quicker */
        sp_lock_release(&pool->lock);
        return 0;
    }
    struct sp__worker *sleeper = pop_sleeper(pool);
    if (sleeper != NULL) {
        sp__crew_call(&pool->crew, true);
        sp_lock_release(&pool->lock);
        wake(sleeper);
        return 0;
    }
    count_in(pool);
    sp_lock_release(&pool->lock);
    int error = sp__pool_start_worker(pool);
    if (error != 0)
        make_do(pool);
    return error;
}

void sp__stop_searching(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    worker->searching = false;
    uint64_t seen = sp__crew_found(&pool->crew);
    if (sp__crew_awake(seen) < pool->max_workers && sp__has_tasks(pool))
        (void)sp__call_worker(pool); /* if none can be started, there are we */
}

void sp__dismiss_sleepers(struct sp__pool *pool)
{
    for (struct sp__worker *worker; (worker = pop_sleeper(pool)) != NULL;) {
        sp__crew_get_up(&pool->crew, false);
        worker->dismissed = true;
        wake(worker);
    }
}

static bool still_asleep(void *context)
{
    const struct sp__worker *worker = context;
    return sp__load_acquire(&worker->asleep) == 1; /* acquire: pairs with the release in wake */
}

static void sleep_until(struct sp__worker *worker, int64_t deadline)
{
    bool in_time = true;
    worker->resting = true;
    while (in_time && still_asleep(worker))
        in_time = sp__park(&(struct sp__wait){ .address = &worker->asleep,
                                               .kind = SP__WORKER,
                                               .must_wait = still_asleep,
                                               .context = worker,
                                               .deadline = deadline,
                                               .spun = true }) != SP__PARK_TIMEOUT;
    worker->resting = false;
}

/* Under the lock: when an idle worker gives up. */
static int64_t idle_deadline(const struct sp__pool *pool)
{
    int64_t limit = pool->idle_nanoseconds;
    if (pool->workers > pool->max_workers + pool->lent && limit > SURPLUS_NANOSECONDS)
        limit = SURPLUS_NANOSECONDS;
    return limit == SP__NEVER ? SP__NEVER : sp__os_now() + limit;
}

/* Under the lock: this worker, which is not in the crew's word any more, ends. */
static void count_out(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    pool->workers--;
    sp__list_remove(&worker->member);
    pool->submitted += sp__load_relaxed(&worker->submitted); /* relaxed: our own stores */
    pool->completed += sp__load_relaxed(&worker->completed);
    sp__leave_deque(worker);
}

void sp__walk_out(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_lock_acquire(&pool->lock);
    (void)sp__crew_lie_down(&pool->crew, worker->searching);
    sp__crew_get_up(&pool->crew, false);
    worker->searching = false;
    count_out(worker);
    sp_lock_release(&pool->lock);
    int error = sp__has_tasks(pool) ? sp__call_worker(pool) : 0;
    if (error != 0)
        sp__pool_give_up(pool, error);
}

/* Under the lock: lie down, unless there is work for us or the pool has ended. */
enum { STAYS_UP, LIES, ENDS };
static int try_to_lie(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    uint64_t seen = sp__crew_lie_down(&pool->crew, worker->searching);
    worker->searching = false;
    if (sp__crew_needs_one(seen, pool->max_workers) && sp__has_tasks(pool)) {
        sp__crew_get_up(&pool->crew, true);
        worker->searching = true;
        return STAYS_UP;
    }
    if (sp__load_relaxed(&pool->closed) || sp__load_relaxed(&pool->broken)) { /* relaxed: set under the lock */
        sp__crew_get_up(&pool->crew, false);
        return ENDS;
    }
    sp__store_relaxed(&worker->asleep, 1); /* relaxed: whoever wakes us finds us under the lock */
    sp__list_prepend(&pool->sleepers, &worker->link);
    return LIES;
}

/* Woken, or out of time.  False: it ends. */
static bool rise(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_lock_acquire(&pool->lock);
    bool out_of_time = sp__list_linked(&worker->link);
    if (out_of_time) {
        sp__list_remove(&worker->link);
        sp__crew_get_up(&pool->crew, false);
    }
    bool ends = out_of_time || worker->dismissed;
    if (ends)
        count_out(worker);
    sp_lock_release(&pool->lock);
    if (!out_of_time)
        sleep_until(worker,
                    SP__NEVER); /* who has taken us out of the list is about to wake us, and touches us until then */
    worker->searching = !ends;  /* who called us has counted us so */
    return !ends;
}

bool sp__lie_down(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp__unmark_deque(worker);
    sp_lock_acquire(&pool->lock);
    if (sp__load_relaxed(&pool->for_quiet) != 0) /* relaxed: under the lock */
        sp_condition_notify_all(&pool->quiet);
    int does = try_to_lie(worker);
    if (does == ENDS)
        count_out(worker);
    int64_t deadline = does == LIES ? idle_deadline(pool) : SP__NEVER;
    sp_lock_release(&pool->lock);
    if (does != LIES)
        return does == STAYS_UP;
    sleep_until(worker, deadline);
    return rise(worker);
}
