/* The inline pool: it has no threads, its tasks run in those who submit to it or wait for it.  For tests.

   Without a seed a task runs before its submit returns.  With a seed it is queued; whoever waits for a future of the pool,
   for the pool to be idle or for its end takes queued tasks out at random, by the seed, and runs them until what it waits
   for is done.  A task of the pool that waits runs nothing but what it waits for: it may hold locks that others need.

   Each task runs as a runner of its own, so that its id, its errors and its pool are not those of whom it runs in.

   Invariants
   1. `running` counts tasks between take() or enqueue() and the end of run_counted().  What lies in the queue can run: what is
      cancelled leaves it at once.  The `place` of a future in the queue is its index there and one more; of others, 0.
   2. While anything is queued or runs, somebody has a reference on the pool's memory: a handle, or whoever runs it.  Who
      gives up the last handle runs what is queued; inside a task of the pool that is left to whom the task runs in.
   3. A pool in `pools` whose future is not done has memory (by 2): so a waiter, who knows the pool by its address alone,
      finds it or finds the future done.

   Lock order: the lock of `pools` and the pool's lock are never held together; tasks, callbacks and drops run without.
   Fork: the child's copy is closed.  Whoever has run something asks whether that has forked, and then runs no more.

   SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include <spool/lock.h>
#include <spool/sync.h>

#include "base/pause.h"
#include "base/refcount.h"
#include "executor/executor.h"
#include "os/lifecycle.h"
#include "os/os.h"
#include "park/wait_graph.h"
#include "park/word_lock.h"
#include "sync/condition.h"

_Static_assert(sizeof(sp_inline_pool_options) == 16 || sizeof(void *) != 8, "programs are compiled against it");

struct inline_pool {
    sp_executor base;
    struct sp__list link; /* guarded by the lock of `pools` */
    uint64_t seed;        /* set once; 0: tasks run at once */

    sp_lock lock;
    sp_condition changed;          /* of lock: something was queued or has ended */
    uint64_t random;               /* guarded by lock: state of the generator */
    sp_future **queue;             /* guarded by lock: in no order, each with a reference */
    size_t queued, capacity;       /* guarded by lock */
    size_t running;                /* guarded by lock */
    bool closed;                   /* guarded by lock */
    uint64_t submitted, completed; /* guarded by lock */
};

static struct sp__word_lock pools_lock;
static struct sp__list pools SP__GUARDED_BY(pools_lock) = { &pools, &pools };

static struct inline_pool *pool_of(sp_executor *executor)
{
    return sp__container_of(executor, struct inline_pool, base);
}

/* Is it a task of the pool, or something inside of one, that calls? */
static bool is_inside(const struct inline_pool *pool)
{
    return sp__executor_is_own(&pool->base);
}

/* ---- the queue ---- */

/* splitmix64: every seed gives another sequence, the same one each time. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Under the lock.  False: no memory; then all is as it was. */
static bool resize(struct inline_pool *pool, size_t capacity)
{
    sp_future **queue = sp__os_alloc(capacity * sizeof(sp_future *));
    if (queue == NULL)
        return false;
    if (pool->queued != 0)
        memcpy(queue, pool->queue, pool->queued * sizeof(sp_future *));
    sp__os_free(pool->queue);
    pool->queue = queue;
    pool->capacity = capacity;
    return true;
}

enum { FIRST_CAPACITY = 16 };

/* Under the lock. */
static bool has_room(struct inline_pool *pool)
{
    return pool->queued < pool->capacity || resize(pool, pool->capacity != 0 ? 2 * pool->capacity : FIRST_CAPACITY);
}

/* Under the lock. */
static void put_at(struct inline_pool *pool, size_t index, sp_future *future)
{
    pool->queue[index] = future;
    future->place = index + 1;
}

/* Under the lock: the last takes its place.  False: it is not queued. */
static bool unqueue(struct inline_pool *pool, sp_future *future)
{
    if (future->place == 0)
        return false;
    put_at(pool, future->place - 1, pool->queue[--pool->queued]);
    future->place = 0;
    return true;
}

/* Under the lock: one step of a Fisher-Yates shuffle.  NULL: nothing is queued. */
static sp_future *take(struct inline_pool *pool)
{
    if (pool->queued == 0)
        return NULL;
    sp_future *future = pool->queue[next_random(&pool->random) % pool->queued];
    (void)unqueue(pool, future);
    if (pool->capacity > FIRST_CAPACITY && pool->queued <= pool->capacity / 4) /* as in queue/pile.c */
        (void)resize(pool, pool->capacity / 2);
    pool->running++;
    return future;
}

/* ---- running ---- */

/* It was cancelled when it had left the queue: who did may still need the pool. */
static void drop_dead(sp_future *future)
{
    sp__place_lock(future);
    sp__place_unlock(future);
    sp_future_release(future);
}

/* What is being run for the pool. */
struct run {
    struct sp__runner runner;
    struct inline_pool *pool;
    bool ours; /* false: the future was cancelled */
};

/* Its end, also by pthread_exit(). */
static void end_run(void *argument)
{
    struct run *run = argument;
    struct inline_pool *pool = run->pool;
    sp__runner_pop(&run->runner);
    if (sp__executor_is_inherited(&pool->base))
        return; /* the task has forked */
    sp_lock_acquire(&pool->lock);
    pool->running--;
    pool->completed += run->ours;
    sp_condition_notify_all(&pool->changed);
    sp_lock_release(&pool->lock);
}

/* Run a future of the pool, which is counted in `running`, as a runner of its own, unless it was cancelled, and drop the
   reference: the user's drops, too, are on that runner's account. */
static void run_counted(struct inline_pool *pool, sp_future *future)
{
    struct run run;
    run.pool = pool;
    sp__runner_push(&run.runner, future->task->name);
    run.runner.pool = &pool->base.owner;
    run.runner.worker = NULL;
    run.runner.helps = true;
    SP__PAUSE("inline: has a task");
    run.ours = sp__future_claim(future);
    SP__ON_UNWIND(end_run, &run);
    if (run.ours)
        sp__future_run(future, true);
    else
        drop_dead(future);
    SP__END_UNWIND(true);
}

/* False: nothing is queued. */
static bool run_next(struct inline_pool *pool)
{
    if (sp__executor_is_inherited(&pool->base))
        return false; /* what was run before has forked: the rest is the parent's */
    sp_lock_acquire(&pool->lock);
    sp_future *future = take(pool);
    sp_lock_release(&pool->lock);
    if (future != NULL)
        run_counted(pool, future);
    return future != NULL;
}

/* False: it is not queued. */
static bool run_this(struct inline_pool *pool, sp_future *future)
{
    sp_lock_acquire(&pool->lock);
    bool ours = unqueue(pool, future);
    pool->running += ours;
    sp_lock_release(&pool->lock);
    if (ours)
        run_counted(pool, future);
    return ours;
}

/* Nobody has a handle any more: nobody else would run what is left. */
static void run_rest_if_unheld(struct inline_pool *pool)
{
    if (sp__ref_is_down_for_good(&pool->base.handles) && !is_inside(pool))
        while (run_next(pool))
            continue;
}

/* Give up the reference of whoever ran something. */
static void let_go(void *argument)
{
    struct inline_pool *pool = argument;
    run_rest_if_unheld(pool);
    sp__executor_ref_down(&pool->base);
}

/* For the graph of waits: does this one, which sleeps, run a task of the pool? */
static bool is_at_work(const void *object, const struct sp__runner *runner)
{
    const sp_executor *executor = object;
    return runner->pool == &executor->owner;
}

/* Run what is queued and wait for what others run, until nothing is left.  False: the deadline passed, or waiting would close a
   cycle of waits. */
static bool drain(struct inline_pool *pool, int64_t deadline)
{
    struct sp__edge edge = { .does = "waits until nothing runs in the pool",
                             .object = &pool->base,
                             .is_held_by = is_at_work,
                             .may_be_refused = true };
    sp_lock_acquire(&pool->lock);
    while ((pool->queued > 0 || pool->running > 0) && !sp__deadline_passed(deadline)) {
        sp_future *future = take(pool);
        if (future == NULL) {
            if (!sp__condition_wait_by(&pool->changed, &pool->lock, deadline, &edge))
                break;
            continue;
        }
        sp_lock_release(&pool->lock);
        run_counted(pool, future);
        if (sp__executor_is_inherited(&pool->base))
            return true;
        sp_lock_acquire(&pool->lock);
    }
    bool idle = pool->queued == 0 && pool->running == 0;
    sp_lock_release(&pool->lock);
    return idle;
}

/* ---- for those who wait for a future: see sp__future_driver ---- */

/* The pool of a future that is not done, with a reference; NULL: the future is done, or of an executor of another kind. */
static struct inline_pool *hold_pool_of(const sp_future *awaited)
{
    struct inline_pool *found = NULL;
    sp__word_lock_acquire(&pools_lock);
    for (struct sp__list *at = pools.next; at != &pools && found == NULL; at = at->next) {
        struct inline_pool *pool = sp__container_of(at, struct inline_pool, link);
        if (&pool->base.owner == awaited->owner && !sp__future_is_done(awaited) &&
            pool->base.drainable.retain(&pool->base.drainable))
            found = pool;
    }
    sp__word_lock_release(&pools_lock);
    return found;
}

static bool drive(sp_future *awaited)
{
    struct inline_pool *pool = hold_pool_of(awaited);
    if (pool == NULL)
        return false;
    bool ran;
    SP__ON_UNWIND(let_go, pool);
    ran = is_inside(pool) ? run_this(pool, awaited) : run_next(pool);
    SP__END_UNWIND(true);
    return ran;
}

/* ---- the operations of an executor ---- */

static sp_status enqueue(sp_executor *executor, sp_future *future)
{
    struct inline_pool *pool = pool_of(executor);
    sp_lock_acquire(&pool->lock);
    sp_status status = SP_OK;
    if (pool->closed)
        status = SP_SHUT_DOWN;
    else if (pool->seed == 0)
        pool->running++;
    else if (has_room(pool))
        put_at(pool, pool->queued++, future);
    else
        status = SP_MEMORY_ERROR;
    pool->submitted += status == SP_OK;
    sp_condition_notify_all(&pool->changed); /* who waits for what others run may run this one meanwhile */
    sp_lock_release(&pool->lock);
    if (status == SP_OK && pool->seed == 0) {
        sp__ref_up(&executor->refs); /* the task may release the handle by which we were called */
        SP__ON_UNWIND(let_go, pool);
        run_counted(pool, future);
        SP__END_UNWIND(true);
    }
    return status;
}

/* It was cancelled, or whoever waits for it is about to run it. */
static bool note_end(struct sp__owner *owner, sp_future *future)
{
    struct inline_pool *pool = sp__container_of(owner, struct inline_pool, base.owner);
    sp_lock_acquire(&pool->lock);
    bool ours = unqueue(pool, future);
    pool->completed++;
    sp_condition_notify_all(&pool->changed);
    sp_lock_release(&pool->lock);
    return ours;
}

static bool note_claimed(struct sp__owner *owner, void *worker, sp_future *future)
{
    (void)worker;
    return note_end(owner, future);
}

/* Take the queue away and cancel it. */
static void cancel_queued(struct inline_pool *pool)
{
    sp_lock_acquire(&pool->lock);
    sp_future **queue = pool->queue;
    size_t queued = pool->queued;
    for (size_t i = 0; i < queued; i++)
        queue[i]->place = 0;
    pool->queue = NULL;
    pool->queued = pool->capacity = 0;
    sp_lock_release(&pool->lock);
    for (size_t i = 0; i < queued; i++) {
        (void)sp_future_cancel(queue[i]);
        sp_future_release(queue[i]);
    }
    sp__os_free(queue);
}

static sp_status shut_down(sp_executor *executor, bool cancel_futures, bool wait, int64_t deadline)
{
    struct inline_pool *pool = pool_of(executor);
    sp_lock_acquire(&pool->lock);
    pool->closed = true;
    sp_lock_release(&pool->lock);
    if (cancel_futures)
        cancel_queued(pool);
    if (!wait) {
        run_rest_if_unheld(pool);
        return SP_OK;
    }
    if (is_inside(pool))
        return SP_DEADLOCK;
    if (!drain(pool, deadline))
        return deadline == SP__NEVER ? SP_DEADLOCK : SP_TIMEOUT;
    if (!sp__executor_is_inherited(executor))
        sp__drainable_remove(&executor->drainable); /* process exit need not ask again */
    return SP_OK;
}

static bool wait_idle(sp_executor *executor, int64_t deadline)
{
    return drain(pool_of(executor), deadline);
}

static void stats(sp_executor *executor, sp_executor_statistics *ret_stats)
{
    struct inline_pool *pool = pool_of(executor);
    sp_lock_acquire(&pool->lock);
    *ret_stats = (sp_executor_statistics){ pool->submitted, pool->completed, 0 };
    sp_lock_release(&pool->lock);
}

static void destroy(sp_executor *executor)
{
    struct inline_pool *pool = pool_of(executor);
    sp__word_lock_acquire(&pools_lock);
    sp__list_remove(&pool->link);
    sp__sub_relaxed(&sp__driven_executors, 1); /* relaxed: see sp__drive */
    sp__word_lock_release(&pools_lock);
    sp__os_free(pool->queue);
    sp__os_free(pool);
}

static const struct sp__executor_ops ops = {
    .enqueue = enqueue, .shutdown = shut_down, .wait_idle = wait_idle, .stats = stats, .destroy = destroy
};

/* ---- fork ---- */

static void before_fork(void) SP__UNCHECKED
{
    sp__word_lock_acquire(&pools_lock);
}

static void after_fork_in_parent(void) SP__UNCHECKED
{
    sp__word_lock_release(&pools_lock);
}

static void after_fork_in_child(void) SP__UNCHECKED
{
    sp__list_init(&pools);
    sp__store_relaxed(&sp__driven_executors, 0); /* relaxed: the child has one thread */
    sp__word_lock_release(&pools_lock);
}

const struct sp__fork_handler sp__fork_executor = { .before = before_fork,
                                                    .in_parent = after_fork_in_parent,
                                                    .in_child = after_fork_in_child };

SP__CONSTRUCTOR static void get_ready(void)
{
    sp__future_driver = drive;
}

/* ---- */

sp_executor *sp_inline_pool_new(const sp_inline_pool_options *options)
{
    struct inline_pool *pool = sp__registry_prepare() == 0 ? sp__os_zalloc(sizeof *pool) : NULL;
    if (pool == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    pool->seed = pool->random = options != NULL ? options->seed : 0;
    pool->base.owner.claimed = note_claimed;
    pool->base.owner.cancelled = note_end;
    sp__executor_init(&pool->base, &ops);
    if (sp__future_driver == NULL)
        get_ready(); /* a constructor of the program comes before ours */
    sp__word_lock_acquire(&pools_lock);
    sp__list_append(&pools, &pool->link);
    sp__add_relaxed(&sp__driven_executors, 1); /* relaxed: see sp__drive */
    sp__word_lock_release(&pools_lock);
    return &pool->base;
}
