/* The end of a thread pool.

   SPDX-License-Identifier: MIT */
#include "executor/pool.h"
#include "os/os.h"
#include "park/wait_graph.h"
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

/* The pool's lock is not held.  False: it is not gone yet. */
static bool collect(struct sp__worker *worker, bool wait)
{
    if (wait)
        (void)sp__thread_finish(worker->thread, SP__NEVER); /* short: it has done its last act */
    else if (!sp__thread_try_finish(worker->thread))
        return false;
    sp_thread_release(worker->thread);
    sp__os_free(worker);
    return true;
}

/* Under the lock.  False: there is none, or it is not gone yet. */
static bool collect_one(struct sp__pool *pool, bool wait)
{
    struct sp__worker *worker = pop_ended(pool);
    if (worker == NULL)
        return false;
    sp_lock_release(&pool->lock);
    bool collected = collect(worker, wait);
    sp_lock_acquire(&pool->lock);
    if (collected)
        pool->uncollected--;
    else
        sp__list_append(&pool->ended, &worker->link);
    sp_condition_notify_all(&pool->quiet); /* also of one that we have only put back */
    return collected;
}

bool sp__pool_collect_one(struct sp__pool *pool)
{
    return collect_one(pool, true);
}

void sp__pool_collect_gone(struct sp__pool *pool)
{
    while (collect_one(pool, false))
        continue;
}

static bool cancel_one(sp_future *future, void *context)
{
    (void)context;
    (void)sp_future_cancel(future);
    sp_future_release(future);
    return false; /* who cancels it counts it */
}

/* For the graph of waits: does this one, which sleeps, keep the pool from its end?  A worker does, whatever it is at, until it
   has called exit(). */
static bool keeps_from_end(const void *object, const struct sp__runner *runner)
{
    const sp_executor *executor = object;
    const sp_thread *thread = runner->thread;
    return runner->outer == NULL && runner->pool == &executor->owner &&
           sp__load_relaxed(&thread->state) != SP__THREAD_GONE; /* relaxed: its own store, before it slept */
}

/* Does it keep the pool from being quiet?  A worker in a task does. */
static bool keeps_from_quiet(const void *object, const struct sp__runner *runner)
{
    const sp_executor *executor = object;
    const struct sp__worker *worker = runner->worker;
    return runner->outer == NULL && runner->pool == &executor->owner && worker != NULL && worker->in_task;
}

/* Under the lock: wait until nothing is queued, nobody cancels what was, no worker is left, and none to be collected.  What
   was accepted before the close may lie there without a worker: its submitter is about to call one. */
static sp_status await_end(struct sp__pool *pool, int64_t deadline)
{
    struct sp__edge edge = { .does = "waits for the end of the pool",
                             .object = &pool->base,
                             .is_held_by = keeps_from_end,
                             .may_be_refused = true };
    while (sp__inbox_size(&pool->inbox) > 0 || !sp__list_empty(&pool->endings) || pool->workers > 0 ||
           pool->uncollected > 0) {
        if (sp__pool_collect_one(pool))
            continue;
        if (sp__deadline_passed(deadline))
            return SP_TIMEOUT;
        if (!sp__condition_wait_by(&pool->quiet, &pool->lock, deadline, &edge))
            return SP_DEADLOCK;
    }
    return SP_OK;
}

static void close_pool(struct sp__pool *pool)
{
    sp_lock_acquire(&pool->lock);
    sp__store_relaxed(&pool->closed, 1); /* relaxed: the lock publishes it, but for refusal_of in pool.c */
    sp__inbox_close(&pool->inbox, SP_SHUT_DOWN);
    sp__dismiss_sleepers(pool);
    sp_condition_notify_all(&pool->room);
    sp_lock_release(&pool->lock);
}

sp_status sp__pool_shutdown(sp_executor *executor, bool cancel_futures, bool wait, int64_t deadline)
{
    struct sp__pool *pool = sp__pool_of(executor);
    close_pool(pool);
    if (cancel_futures)
        sp__end_queued(pool, cancel_one, NULL);
    if (!wait || sp__executor_is_inherited(executor))
        return SP_OK;
    if (sp__executor_is_own(executor))
        return SP_DEADLOCK;
    sp_lock_acquire(&pool->lock);
    sp_status status = sp__is_ending_queued(pool) ? SP_DEADLOCK : await_end(pool, deadline);
    sp_lock_release(&pool->lock);
    if (status == SP_OK)
        sp__drainable_remove(&executor->drainable); /* process exit need not ask again */
    return status;
}

uint64_t sp__pool_count_submitted(const struct sp__pool *pool)
{
    uint64_t submitted = pool->submitted + sp__load_relaxed(&pool->inbox.in.put); /* relaxed: see sp__pool_count */
    for (const struct sp__list *at = pool->all.next; at != &pool->all; at = at->next)
        submitted += sp__load_relaxed(
            &sp__container_of(at, struct sp__worker, member)->submitted); /* relaxed: as above */
    return submitted;
}

void sp__pool_count(struct sp__pool *pool, uint64_t *ret_submitted, uint64_t *ret_completed)
{
    uint64_t completed = pool->completed;
    struct sp__list *const all = &pool->all;
    /* acquire: pairs with the release in run_task.  What is counted as done is counted as submitted below. */
    for (struct sp__list *at = all->next; at != all; at = at->next)
        completed += sp__load_acquire(&sp__container_of(at, struct sp__worker, member)->completed);
    *ret_submitted = sp__pool_count_submitted(pool);
    *ret_completed = completed;
}

/* Under the lock: nothing is queued and nothing runs.  If as many were submitted, later, as had been done before, then all
   that had been submitted was done in between. */
static bool is_quiet(struct sp__pool *pool)
{
    uint64_t submitted, completed;
    sp__pool_count(pool, &submitted, &completed);
    return submitted == completed && sp__list_empty(&pool->endings);
}

bool sp__pool_wait_idle(sp_executor *executor, int64_t deadline)
{
    struct sp__pool *pool = sp__pool_of(executor);
    struct sp__edge edge = { .does = "waits until nothing runs in the pool",
                             .object = executor,
                             .is_held_by = keeps_from_quiet,
                             .may_be_refused = true };
    sp_lock_acquire(&pool->lock);
    sp__add_relaxed(&pool->for_quiet, 1); /* relaxed: under the lock */
    bool quiet;
    while (!(quiet = is_quiet(pool)) && !sp__is_ending_queued(pool) && !sp__deadline_passed(deadline) &&
           sp__condition_wait_by(&pool->quiet, &pool->lock, deadline, &edge))
        continue;
    sp__sub_relaxed(&pool->for_quiet, 1); /* relaxed: as above */
    sp_lock_release(&pool->lock);
    return quiet;
}

void sp__pool_destroy(sp_executor *executor)
{
    struct sp__pool *pool = sp__pool_of(executor);
    for (struct sp__list *at; (at = sp__list_pop_front(&pool->ended)) != NULL;) {
        struct sp__worker *worker = sp__container_of(at, struct sp__worker, link);
        sp_thread_release(worker->thread); /* perhaps the caller itself: the registry collects it */
        sp__os_free(worker);
    }
    for (unsigned i = 0; i < pool->deque_count; i++)
        sp__os_free(pool->deques[i]);
    sp__os_free(pool->deques);
    sp__error_free(pool->why_broken);
    sp__os_free(pool->prefix);
    sp__os_traits_release(pool->traits);
    sp__os_free(pool);
}
