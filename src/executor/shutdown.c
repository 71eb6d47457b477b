/* The end of a thread pool.

   SPDX-License-Identifier: MIT */
#include "executor/pool.h"
#include "os/os.h"
#include "sync/condition.h"

/* Under the lock: a worker that has ended and whose handle is known. */
static struct sp__worker *pop_ended(struct sp__pool *pool)
{
    for (struct sp__list *at = pool->ended.next; at != &pool->ended; at = at->next) {
        struct sp__worker *worker = sp__container_of(at, struct sp__worker, link);
        if (worker->thread == NULL)
            continue;
        sp__list_remove(at);
        return worker;
    }
    return NULL;
}

bool sp__pool_collect_one(struct sp__pool *pool)
{
    struct sp__worker *worker = pop_ended(pool);
    if (worker == NULL)
        return false;
    sp_lock_release(&pool->lock);
    (void)sp__thread_finish(worker->thread, SP__NEVER); /* short: it has left its loop */
    sp_thread_release(worker->thread);
    sp__os_free(worker);
    sp_lock_acquire(&pool->lock);
    pool->uncollected--;
    sp_condition_notify_all(&pool->quiet);
    return true;
}

/* Under the lock: take the queue away and cancel it. */
static void cancel_queued(struct sp__pool *pool)
{
    sp_future *chain = sp__pool_take_queue(pool);
    sp_lock_release(&pool->lock);
    for (sp_future *next; chain != NULL; chain = next) {
        next = chain->next;
        (void)sp_future_cancel(chain);
        sp_future_release(chain);
    }
    sp_lock_acquire(&pool->lock);
}

/* Under the lock: wait until no worker is left, and none to be collected. */
static sp_status await_end(struct sp__pool *pool, int64_t deadline)
{
    while (pool->workers > 0 || pool->uncollected > 0) {
        if (sp__pool_collect_one(pool))
            continue;
        if (sp__deadline_passed(deadline))
            return SP_TIMEOUT;
        (void)sp__condition_wait_until(&pool->quiet, &pool->lock, deadline);
    }
    return SP_OK;
}

sp_status sp__pool_shutdown(sp_executor *executor, bool cancel_futures, bool wait, int64_t deadline)
{
    struct sp__pool *pool = sp__pool_of(executor);
    sp_lock_acquire(&pool->lock);
    pool->closed = true;
    sp__pool_wake_all_workers(pool);
    sp_condition_notify_all(&pool->room);
    if (cancel_futures)
        cancel_queued(pool);
    sp_status status = SP_OK;
    if (wait)
        status = sp__executor_is_own(executor) ? SP_DEADLOCK : await_end(pool, deadline);
    sp_lock_release(&pool->lock);
    if (wait && status == SP_OK)
        sp__drainable_remove(&executor->drainable); /* process exit need not ask again */
    return status;
}

bool sp__pool_wait_idle(sp_executor *executor, int64_t deadline)
{
    struct sp__pool *pool = sp__pool_of(executor);
    sp_lock_acquire(&pool->lock);
    while ((pool->queued > 0 || pool->busy > 0) && !sp__deadline_passed(deadline))
        (void)sp__condition_wait_until(&pool->quiet, &pool->lock, deadline);
    bool idle = pool->queued == 0 && pool->busy == 0;
    sp_lock_release(&pool->lock);
    return idle;
}

void sp__pool_destroy(sp_executor *executor)
{
    struct sp__pool *pool = sp__pool_of(executor);
    for (struct sp__list *at; (at = sp__list_pop_front(&pool->ended)) != NULL;) {
        struct sp__worker *worker = sp__container_of(at, struct sp__worker, link);
        sp_thread_release(worker->thread); /* perhaps the caller itself: the registry collects it */
        sp__os_free(worker);
    }
    sp__error_free(pool->why_broken);
    sp__os_free(pool->prefix);
    sp__os_free(pool);
}

void sp__pool_after_fork(struct sp__drainable *drainable)
{
    struct sp__pool *pool = sp__container_of(drainable, struct sp__pool, base.drainable);
    pool->lock = (sp_lock){ 0 };
    pool->work = pool->room = pool->quiet = (sp_condition){ 0 };
    pool->closed = true;
    pool->workers = pool->idle = pool->busy = pool->uncollected = pool->lent = 0;
    pool->first = pool->last = NULL; /* never run, and not ours to free: the parent's threads may hold them */
    pool->queued = 0;
    sp__list_init(&pool->ended);
    sp__list_init(&pool->loans);
}
