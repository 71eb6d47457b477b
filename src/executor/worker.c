/* A worker: a thread that runs one long task of our own, the loop below.

   SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>

#include "base/refcount.h"
#include "executor/pool.h"
#include "os/os.h"
#include "sync/condition.h"

/* Under the lock: sleep until there may be work.  False: idle for too long. */
static bool sleep_idle(struct sp__pool *pool)
{
    int64_t limit = pool->idle_nanoseconds;
    pool->idle++;
    if (sp__condition_wait_until(&pool->work, &pool->lock, limit == SP__NEVER ? SP__NEVER : sp__os_now() + limit))
        return true; /* who notified us has taken us off `idle` */
    pool->idle--;
    return false;
}

/* Under the lock: the next future; NULL: this worker should end. */
static sp_future *await_work(struct sp__pool *pool)
{
    for (bool patient = true;;) {
        if (pool->workers > pool->max_workers + pool->lent) {
            if (pool->first != NULL)
                (void)sp__pool_wake_worker(pool); /* we may have been woken for it */
            return NULL;                          /* whom we stood in for runs again */
        }
        sp_future *future = sp__pool_take(pool);
        if (future != NULL)
            return future;
        if (pool->closed || pool->broken || !patient)
            return NULL;
        patient = sleep_idle(pool);
    }
}

static void run_tasks(struct sp__pool *pool)
{
    sp_future *future;
    sp_lock_acquire(&pool->lock);
    while ((future = await_work(pool)) != NULL) {
        pool->busy++;
        sp_lock_release(&pool->lock);
        if (sp__future_claim(future))
            sp__future_run(future);
        sp_future_release(future);
        sp_lock_acquire(&pool->lock);
        pool->busy--;
        pool->completed++;
        if (pool->busy == 0 && pool->queued == 0)
            sp_condition_notify_all(&pool->quiet);
    }
    pool->workers--; /* in the hold in which it was decided: nobody may count on us any more */
    sp_lock_release(&pool->lock);
}

/* The initializer failed: nothing will run here any more. */
static void break_pool(struct sp__pool *pool, sp_error *error)
{
    sp_lock_acquire(&pool->lock);
    bool first = !pool->broken;
    if (first) {
        pool->broken = true;
        pool->why_broken = error;
    }
    pool->workers--;
    sp_future *chain = sp__pool_take_queue(pool);
    sp__pool_wake_all_workers(pool);
    sp_lock_release(&pool->lock);
    sp__pool_fail_all(chain, SP_BROKEN_POOL, error, "the pool is broken, its initializer failed");
    if (!first)
        sp__error_free(error);
}

static bool initialize(struct sp__pool *pool)
{
    if (pool->initializer == NULL)
        return true;
    sp_status status = pool->initializer(pool->initializer_arg);
    if (status == SP_OK) {
        sp__error_drop_raised();
        return true;
    }
    break_pool(pool, sp__error_take_raised(status, "initializer", "?"));
    return false;
}

/* The worker leaves; its node stays until somebody has collected the OS thread. */
static void leave(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_lock_acquire(&pool->lock);
    worker->has_ended = true;
    sp__list_append(&pool->ended, &worker->link);
    sp_condition_notify_all(&pool->quiet);
    sp_lock_release(&pool->lock);
    sp__executor_ref_down(&pool->base); /* LAST TOUCH: it may have been the last */
}

static sp_status work(const void *arg, void *result)
{
    struct sp__worker *worker = *(struct sp__worker *const *)arg;
    struct sp__pool *pool = worker->pool;
    struct sp__runner *self = sp__self();
    (void)result;
    self->pool = &pool->base.owner;
    if (initialize(pool)) {
        run_tasks(pool);
        if (pool->finalizer != NULL)
            pool->finalizer(pool->initializer_arg);
    }
    self->pool = NULL;
    leave(worker);
    return SP_OK;
}

static const sp_task worker_task = { .struct_size = sizeof worker_task,
                                     .name = "worker",
                                     .file = __FILE__,
                                     .arg_size = sizeof(struct sp__worker *),
                                     .result_size = 0,
                                     .run = work };

/* Take back what needs_worker has counted. */
static int forget_worker(struct sp__pool *pool, struct sp__worker *worker, int error)
{
    sp__os_free(worker);
    sp_lock_acquire(&pool->lock);
    pool->workers--;
    pool->uncollected--;
    sp_condition_notify_all(&pool->quiet);
    sp_lock_release(&pool->lock);
    sp__executor_ref_down(&pool->base); /* the caller holds another */
    return error;
}

int sp__pool_start_worker(struct sp__pool *pool)
{
    struct sp__worker *worker = sp__os_zalloc(sizeof *worker);
    if (worker == NULL)
        return forget_worker(pool, NULL, ENOMEM);
    worker->pool = pool;
    char name[128];
    sp_lock_acquire(&pool->lock);
    while (sp__pool_collect_one(pool))
        continue;
    snprintf(name, sizeof name, "%s-%u", pool->prefix, pool->last_number++);
    sp_lock_release(&pool->lock);
    sp_thread *thread = sp__thread_start(
        &(struct sp__thread_plan){ .name = name, .worker = true, .stack_size = pool->stack_size }, &worker_task,
        &worker);
    if (thread == NULL)
        return forget_worker(pool, worker, errno);
    sp_lock_acquire(&pool->lock);
    worker->thread = thread;
    if (worker->has_ended)
        sp_condition_notify_all(&pool->quiet); /* it can be collected now */
    sp_lock_release(&pool->lock);
    return 0;
}
