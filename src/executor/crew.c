/* Calling workers, and sending them to sleep; README.md has the proof that no task is left behind.

   SPDX-License-Identifier: MIT */
#include "base/pause.h"
#include "base/refcount.h"
#include "executor/pool.h"
#include "os/os.h"
#include "park/park.h"
#include "sync/condition.h"

#define SURPLUS_NANOSECONDS                                                                                            \
    INT64_C(1000000000) /* while there are more than max_workers, an idle worker stays so long */

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
    SP__PAUSE("crew: wakes");
    /* release: pairs with the acquire in still_asleep; it sees what it was woken for */
    sp__store_release(&worker->asleep, 0);
    sp__unpark(&(struct sp__wake){ .address = word, .kind = SP__WORKER, .most = 1, .token = SP__PARK_RECHECK });
}

/* Under the lock: may one more be started, and is there a task for it?  Others may be on their way, and will look.  But an
   initializer may take long: a task does not wait for one that was begun before the task came. */
static bool may_start(const struct sp__pool *pool)
{
    if (sp__crew_awake(sp__crew_look(&pool->crew)) + pool->starting >= pool->max_workers)
        return false;
    uint64_t queued = sp__count_tasks(pool);
    if (queued > pool->starting - pool->stuck)
        return true;
    return queued > 0 && pool->initializer != NULL && sp__pool_count_submitted(pool) != pool->submitted_at_start;
}

/* Under the lock: count in a worker that the caller is going to start. */
static void count_in(struct sp__pool *pool)
{
    if (pool->initializer != NULL)
        pool->submitted_at_start = sp__pool_count_submitted(pool);
    sp__add_relaxed(&pool->starting, 1); /* relaxed: read without the lock as a hint only */
    pool->workers++;
    pool->uncollected++;
    sp__ref_up(&pool->base.refs);
}

/* Under the lock: call the sleeper that lay down last.  NULL: there is none. */
static struct sp__worker *call_sleeper(struct sp__pool *pool)
{
    struct sp__worker *sleeper = pop_sleeper(pool);
    if (sleeper != NULL)
        sp__crew_call(&pool->crew);
    return sleeper;
}

/* Call a sleeper; or, and then true, count in a worker that the caller is to start; or neither. */
static bool call_one(struct sp__pool *pool)
{
    if (!sp__crew_needs_one(sp__crew_look(&pool->crew), pool->max_workers))
        return false;
    struct sp__worker *sleeper = NULL;
    bool starts = false;
    SP__PAUSE("crew: needs one");
    sp_lock_acquire(&pool->lock);
    if (sp__crew_needs_one(sp__crew_look(&pool->crew), pool->max_workers)) { /* else somebody was quicker */
        sleeper = call_sleeper(pool);
        starts = sleeper == NULL && may_start(pool);
    }
    if (starts)
        count_in(pool);
    sp_lock_release(&pool->lock);
    if (sleeper != NULL)
        wake(sleeper);
    return starts;
}

int sp__call_worker(struct sp__pool *pool)
{
    int error = 0;
    /* One that begins slowly calls no other soon: then one is started for each task. */
    for (bool goes_on = true; goes_on && error == 0 && call_one(pool); goes_on = pool->initializer != NULL)
        error = sp__pool_start_worker(pool);
    return error;
}

bool sp__take_up_work(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_lock_acquire(&pool->lock);
    sp__sub_relaxed(&pool->starting, 1); /* relaxed: as in count_in */
    worker->awake = worker->searching = sp__crew_awake(sp__crew_look(&pool->crew)) < pool->max_workers;
    if (worker->awake)
        sp__crew_enter(&pool->crew);
    sp_lock_release(&pool->lock);
    return worker->awake || sp__lie_down(worker);
}

void sp__stop_searching(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    worker->searching = false;
    uint64_t seen = sp__crew_found(&pool->crew);
    if (sp__crew_awake(seen) < pool->max_workers && sp__has_tasks(pool))
        (void)sp__call_worker(pool); /* if none can be started, there are we */
}

/* Under the lock: the worker, which is not in the crew's word any more, ends. */
static void count_out(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    pool->workers--;
    sp__list_remove(&worker->member);
    /* relaxed: the worker's own stores, before it last took the lock */
    pool->submitted += sp__load_relaxed(&worker->submitted);
    pool->completed += sp__load_relaxed(&worker->completed);
    sp__leave_deque(worker);
}

/* Under the lock: a worker that was taken out of the list of sleepers ends. */
static void dismiss(struct sp__worker *worker)
{
    sp__crew_get_up(&worker->pool->crew, false);
    worker->dismissed = true;
    count_out(worker);
}

void sp__dismiss_sleepers(struct sp__pool *pool)
{
    for (struct sp__worker *worker; (worker = pop_sleeper(pool)) != NULL;) {
        dismiss(worker);
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

/* Under the lock: when a worker ends that has been idle since then. */
static int64_t idle_end(const struct sp__pool *pool, int64_t since)
{
    int64_t limit = pool->idle_nanoseconds;
    if (pool->workers > pool->max_workers && limit > SURPLUS_NANOSECONDS)
        limit = SURPLUS_NANOSECONDS;
    return limit == SP__NEVER ? SP__NEVER : since + limit;
}

/* Under the lock: when must the worker, which was one too many, look whether the others make progress?  It may have been the
   last who did not sleep in a wait. */
static int64_t look_at(const struct sp__pool *pool, int64_t now)
{
    bool may_starve = sp__crew_awake(sp__crew_look(&pool->crew)) >= pool->max_workers && sp__all_sleep(pool) &&
                      sp__has_tasks(pool) && sp__load_relaxed(&pool->told) == 0; /* relaxed: changes under the lock */
    return may_starve ? now + SP__STARVES_AFTER : SP__NEVER;
}

/* Under the lock: the worker, which ends, is counted in the crew's word no more. */
static void give_permit_up(struct sp__worker *worker)
{
    sp__crew_word *crew = &worker->pool->crew;
    (void)sp__crew_lie_down(crew, worker->awake, worker->searching);
    sp__crew_get_up(crew, false);
    worker->awake = worker->searching = false;
}

void sp__walk_out(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_lock_acquire(&pool->lock);
    if (!worker->initialized)
        sp__sub_relaxed(&pool->starting, 1); /* relaxed: as in count_in */
    else if (!worker->lent)
        give_permit_up(worker);
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
    uint64_t seen = sp__crew_lie_down(&pool->crew, worker->awake, worker->searching);
    worker->awake = worker->searching = false;
    if (sp__crew_needs_one(seen, pool->max_workers) && sp__has_tasks(pool)) {
        sp__crew_get_up(&pool->crew, true);
        worker->awake = worker->searching = true;
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

/* Woken, or out of time: is that the end?  There may be fewer workers by now; and the one that ends is counted out before
   the next looks, or too few would be left.  Or it was time to look. */
static bool sleeps_on(struct sp__worker *worker, int64_t since, int64_t *ret_until)
{
    struct sp__pool *pool = worker->pool;
    int64_t now = sp__os_now();
    SP__PAUSE("crew: rises");
    sp_lock_acquire(&pool->lock);
    int64_t end = idle_end(pool, since), look = look_at(pool, now);
    bool is_called = !sp__list_linked(&worker->link), ends = !is_called && now >= end;
    if (ends) {
        sp__list_remove(&worker->link);
        dismiss(worker);
        sp__store_relaxed(&worker->asleep, 0); /* relaxed: nobody else wakes it any more */
    }
    sp_lock_release(&pool->lock);
    if (look != SP__NEVER) /* also as its last act: both times may be the same */
        (void)sp__check_progress(pool);
    *ret_until = look < end ? look : end;
    return !is_called && !ends;
}

/* It sleeps no more.  False: it ends. */
static bool rise(struct sp__worker *worker)
{
    SP__PAUSE("crew: leaves");
    sleep_until(worker, SP__NEVER); /* who has taken us out of the list wakes us soon, and touches us until then */
    worker->awake = worker->searching = !worker->dismissed; /* who called us has counted us so */
    return !worker->dismissed;
}

bool sp__lie_down(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp__unmark_deque(worker);
    SP__PAUSE("crew: found nothing");
    sp_lock_acquire(&pool->lock);
    if (sp__load_relaxed(&pool->for_quiet) != 0) /* relaxed: under the lock */
        sp_condition_notify_all(&pool->quiet);
    int does = try_to_lie(worker);
    if (does == ENDS)
        count_out(worker);
    int64_t since = sp__os_now(), end = idle_end(pool, since), look = does == LIES ? look_at(pool, since) : SP__NEVER;
    sp_lock_release(&pool->lock);
    if (does != LIES)
        return does == STAYS_UP;
    int64_t until = look < end ? look : end;
    do
        sleep_until(worker, until);
    while (sleeps_on(worker, since, &until));
    return rise(worker);
}
