/* A worker: a thread that runs one long task of our own, the loop below.

   SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>

#include "base/pause.h"
#include "executor/pool.h"
#include "os/os.h"
#include "park/spin.h"
#include "sync/condition.h"

/* Become the one that runs it, or that fails it because the pool is broken.  False: somebody else has it. */
static bool take_on(struct sp__pool *pool, sp_future *future, bool is_broken)
{
    if (is_broken)
        return sp__pool_refuse(future, SP_BROKEN_POOL, pool->why_broken, SP__BROKEN_TEXT);
    return sp__future_claim(future);
}

/* `stands_in`: it lies in a queue besides.  False: somebody else runs or has ended it. */
static bool run_or_refuse(struct sp__worker *worker, sp_future *future, bool stands_in)
{
    struct sp__pool *pool = worker->pool;
    SP__PAUSE("worker: has a task");
    /* acquire: pairs with the release in break_pool; why_broken may be read */
    bool is_broken = sp__load_acquire(&pool->broken);
    if (is_broken && stands_in && sp__take_out(pool, future)) { /* before its error is written, see `before` */
        sp_future_release(future);
        stands_in = false;
    }
    if (!take_on(pool, future, is_broken)) {
        if (stands_in)
            sp_future_release(future);
        else
            sp__drop_dead(future);
        return false;
    }
    worker->in_task = true;
    if (is_broken) {
        if (stands_in)
            sp__count_dead(future);
        sp_future_release(future);
        return true;
    }
    if (stands_in && sp__forsake(pool, future))
        sp_future_release(future);
    sp__future_run(future, true);
    return true;
}

/* Has something that this worker ran forked, and is this the child?  Then the pool is the parent's; so is what lies in it. */
static bool has_forked(const struct sp__worker *worker)
{
    return sp__executor_is_inherited(&worker->pool->base);
}

static void count_task(struct sp__worker *worker)
{
    worker->in_task = false;
    /* release: what the task did happens before the return of sp_executor_wait_idle; pairs with sp__pool_count */
    sp__store_release(&worker->completed, sp__load_relaxed(&worker->completed) + 1); /* relaxed: our own store */
}

static void run_task(struct sp__worker *worker, sp_future *future)
{
    bool stands_in = worker->stands_in;
    worker->stands_in = false;
    sp__self()->uses_locals = false;                       /* what the task before did with them is over */
    sp__store_relaxed(&worker->doing, future->task->name); /* relaxed: for reports */
    if (run_or_refuse(worker, future, stands_in))
        count_task(worker);
}

/* Look for a task, for a while.  Half of those who are awake may watch the queues without finding anything. */
static sp_future *search(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    struct sp__spin spin = SP__SPIN;
    for (;;) {
        sp_future *future = sp__find_task(worker);
        if (future != NULL) {
            sp__spin_paid(&spin);
            return future;
        }
        uint64_t seen = sp__crew_look(&pool->crew);
        if (sp__crew_searching(seen) * 2 > sp__crew_awake(seen) + 1 || !sp__spin(&spin))
            return NULL;
    }
}

/* Are more awake than may run tasks?  Whom one of us stood in for is back. */
static bool is_surplus(const struct sp__pool *pool)
{
    return sp__crew_awake(sp__crew_look(&pool->crew)) > pool->max_workers;
}

/* The next task to run; NULL: this worker ends, and is counted in `workers` no more. */
static sp_future *next_task(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_future *future;
    if (!worker->searching) {
        if (is_surplus(pool)) {
            if (!sp__lie_down(worker))
                return NULL;
        } else {
            if ((future = sp__find_task(worker)) != NULL)
                return future;
            worker->searching = true;
            sp__crew_search(&pool->crew);
        }
    }
    while ((future = search(worker)) == NULL)
        if (!sp__lie_down(worker))
            return NULL;
    sp__stop_searching(worker);
    return future;
}

static void run_tasks(struct sp__worker *worker)
{
    sp_future *future;
    bool goes_on = !has_forked(worker) && sp__take_up_work(worker);
    while (goes_on && !has_forked(worker) && (future = next_task(worker)) != NULL)
        run_task(worker, future);
}

/* The initializer failed: nothing will run here any more. */
static void break_pool(struct sp__worker *worker, sp_error *error)
{
    struct sp__pool *pool = worker->pool;
    sp_lock_acquire(&pool->lock);
    bool first = pool->why_broken == NULL;
    if (first) {
        pool->why_broken = error;
        sp__store_release(&pool->broken, 1); /* release: publishes why_broken; pairs with the acquire in run_task */
        sp__inbox_close(&pool->inbox, SP_BROKEN_POOL);
    }
    sp__dismiss_sleepers(pool);
    sp_condition_notify_all(&pool->room);
    sp_lock_release(&pool->lock);
    SP__PAUSE("worker: broken");
    sp__pool_fail_all(pool, SP_BROKEN_POOL, error, SP__BROKEN_TEXT);
    if (!first)
        sp__error_free(error);
}

static sp_status call_initializer(const struct sp__pool *pool)
{
    static const sp_task initializer = { .name = "initializer", .file = "?" };
    void *exception = NULL;
    sp_status status = (sp_status)sp__os_call_catching((void (*)(void))pool->initializer, pool->initializer_arg, NULL,
                                                       &exception);
    return exception == NULL ? status : sp__task_threw(&initializer, exception);
}

static void initialize(struct sp__worker *worker)
{
    struct sp__pool *pool = worker->pool;
    sp_status status = SP_OK;
    if (pool->initializer != NULL) {
        status = call_initializer(pool);
        if (has_forked(worker))
            return;
        if (status == SP_OK)
            sp__error_drop_raised();
        else
            break_pool(worker, sp__error_take_raised(status, "initializer", "?"));
    }
    worker->owes_finalizer = status == SP_OK && pool->finalizer != NULL;
}

static void finalize(struct sp__worker *worker)
{
    bool owes = worker->owes_finalizer;
    worker->owes_finalizer = false;
    if (owes)
        (void)sp__os_call_firmly("a finalizer of a pool", (void (*)(void))worker->pool->finalizer,
                                 worker->pool->initializer_arg, NULL);
}

static sp_status work(const void *arg, void *result)
{
    struct sp__worker *worker = *(struct sp__worker *const *)arg;
    struct sp__pool *pool = worker->pool;
    struct sp__runner *self = sp__self();
    (void)result;
    self->pool = &pool->base.owner; /* until the thread is gone: whatever runs in it is the pool's */
    self->worker = worker;
    initialize(worker);
    worker->initialized = self->helps = true;
    self->hooks = &worker->hooks;
    run_tasks(worker);
    self->hooks = NULL;
    self->helps = false;
    self->worker = NULL; /* what the finalizer submits is for others */
    if (!has_forked(worker))
        finalize(worker);
    return SP_OK;
}

static const sp_task worker_task = { .struct_size = sizeof worker_task,
                                     .name = "worker",
                                     .file = __FILE__,
                                     .arg_size = sizeof(struct sp__worker *),
                                     .result_size = 0,
                                     .run = work };

/* ---- its end ---- */

/* Its initializer will not return. */
static void break_by(struct sp__worker *worker, const char *how)
{
    static const sp_task initializer = { .struct_size = sizeof initializer, .name = "initializer", .file = "?" };
    break_pool(worker, sp__task_ended_early(&initializer, how));
}

/* Whatever else runs on its stack, by an exit() down there, is not the worker's any more.  True: it
   was in its initializer or in a task, not in its finalizer. */
static bool leave_stack(const struct sp__worker *worker)
{
    bool is_counted = false;
    for (struct sp__runner *at = sp__self(); at != NULL; at = at->outer) {
        at->hooks = NULL;
        if (at->worker != worker)
            continue; /* a task of an inline pool */
        at->helps = false;
        at->worker = NULL;
        is_counted = true;
    }
    return is_counted;
}

/* Its thread is ended, by pthread_exit() or exit(), in a task, its initializer or its finalizer: another takes its place. */
static void abandoned(void *owned, bool exits)
{
    struct sp__worker *worker = owned;
    bool is_counted = leave_stack(worker);
    if (is_counted && worker->initialized)
        count_task(worker);
    else if (is_counted)
        break_by(worker, exits ? SP__ENDED_BY_EXIT : SP__ENDED_BY_PTHREAD);
    if (is_counted)
        sp__walk_out(worker);
    if (!exits)
        finalize(worker);
}

/* The worker leaves; its node stays until somebody has collected the OS thread. */
static void left(void *owned)
{
    struct sp__worker *worker = owned;
    struct sp__pool *pool = worker->pool;
    sp_lock_acquire(&pool->lock);
    worker->has_ended = true;
    sp__list_append(&pool->ended, &worker->link);
    sp_condition_notify_all(&pool->quiet);
    sp_lock_release(&pool->lock);
    sp__executor_ref_down(&pool->base); /* LAST TOUCH: it may have been the last */
}

static const struct sp__thread_owner owner = { .abandoned = abandoned, .left = left };

/* It could not be started: take back what sp__call_worker has counted in the pool. */
static int forget_worker(struct sp__pool *pool, struct sp__worker *worker, int error)
{
    sp_lock_acquire(&pool->lock);
    if (worker != NULL)
        sp__list_remove(&worker->member);
    sp__sub_relaxed(&pool->starting, 1); /* relaxed: as in count_in, crew.c */
    pool->workers--;
    pool->uncollected--;
    sp_condition_notify_all(&pool->quiet);
    sp_lock_release(&pool->lock);
    sp__os_free(worker);
    sp__executor_ref_down(&pool->base); /* the caller holds another */
    return error;
}

/* NULL: no memory. */
static struct sp__worker *new_worker(struct sp__pool *pool)
{
    struct sp__worker *worker = sp__os_zalloc_aligned(_Alignof(struct sp__worker), sizeof *worker);
    if (worker == NULL)
        return NULL;
    worker->pool = pool;
    sp__starvation_watch(worker);
    sp_lock_acquire(&pool->lock);
    sp__pool_collect_gone(pool);
    sp__list_append(&pool->all, &worker->member);
    snprintf(worker->name, sizeof worker->name, "%s-%u", pool->prefix, pool->next_number++);
    sp_lock_release(&pool->lock);
    return worker;
}

int sp__pool_start_worker(struct sp__pool *pool)
{
    struct sp__worker *worker = new_worker(pool);
    if (worker == NULL)
        return forget_worker(pool, NULL, ENOMEM);
    sp_thread *thread = sp__thread_start(&(struct sp__thread_plan){ .name = worker->name,
                                                                    .worker = true,
                                                                    .stack_size = pool->stack_size,
                                                                    .owner = &owner,
                                                                    .owned = worker,
                                                                    .traits = pool->traits },
                                         &worker_task, &worker);
    if (thread == NULL)
        return forget_worker(pool, worker, errno);
    sp_lock_acquire(&pool->lock);
    worker->thread = thread;
    if (worker->has_ended)
        sp_condition_notify_all(&pool->quiet); /* it can be collected now */
    sp_lock_release(&pool->lock);
    return 0;
}
