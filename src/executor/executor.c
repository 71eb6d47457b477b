/* The calls that all executors share.

   SPDX-License-Identifier: MIT */
#include "executor/executor.h"

#include <spool/time.h>

#include "base/pause.h"
#include "base/refcount.h"

_Static_assert(sizeof(sp_shutdown_options) == 16 || sizeof(void *) != 8, "programs are compiled against it");
_Static_assert(sizeof(sp_executor_statistics) == 24, "programs are compiled against it");

static sp_executor *of_drainable(struct sp__drainable *drainable)
{
    return sp__container_of(drainable, sp_executor, drainable);
}

static bool retain_for_drain(struct sp__drainable *drainable)
{
    sp_executor *executor = of_drainable(drainable);
    /* acquire: when it is 0, what the last workers did before they let go comes before the return of sp_join_all */
    uint32_t seen = sp__load_acquire(&executor->refs);
    while (seen > 0)
        if (sp__cas_relaxed(&executor->refs, &seen, seen + 1)) /* relaxed: as sp__ref_up, others keep it */
            return true;
    return false;
}

static void release_after_drain(struct sp__drainable *drainable)
{
    sp__executor_ref_down(of_drainable(drainable));
}

static bool drain(struct sp__drainable *drainable, int64_t deadline)
{
    sp_executor *executor = of_drainable(drainable);
    return executor->ops->shutdown(executor, false, true, deadline) == SP_OK;
}

static bool rest(struct sp__drainable *drainable, int64_t deadline)
{
    sp_executor *executor = of_drainable(drainable);
    return executor->ops->wait_idle(executor, deadline);
}

void sp__executor_init(sp_executor *executor, const struct sp__executor_ops *ops)
{
    executor->ops = ops;
    executor->handles = executor->refs = 1;
    executor->process = sp__process_number;
    executor->drainable.owner = &executor->owner;
    executor->drainable.retain = retain_for_drain;
    executor->drainable.rest = rest;
    executor->drainable.drain = drain;
    executor->drainable.release = release_after_drain;
    sp__drainable_add(&executor->drainable);
}

void sp__executor_ref_down(sp_executor *executor)
{
    if (sp__executor_is_inherited(executor) || !sp__ref_down(&executor->refs))
        return;
    SP__PAUSE("executor: let go");
    sp__drainable_remove(&executor->drainable);
    executor->ops->destroy(executor);
}

unsigned sp__default_workers(void)
{
    unsigned cpus = sp_cpu_count();
    return cpus < 28 ? cpus + 4 : 32;
}

bool sp__executor_is_own(const sp_executor *executor)
{
    return sp__runner_of_pool(&executor->owner) != NULL;
}

/* A submit was not accepted: the future has failed, and only the caller's reference is left. */
static void reject(sp_executor *executor, sp_future *future, sp_status status)
{
    const sp_task *task = future->task;
    sp_error *error = NULL;
    if (executor != NULL && executor->ops->explain != NULL)
        error = executor->ops->explain(executor, status, task);
    if (error == NULL)
        error = sp__error_new(status, task->name, task->file != NULL ? task->file : "?", 0, sp_status_text(status));
    (void)sp__future_fail(future, status, error);
    sp_future_release(future); /* what would have been the executor's reference */
}

/* With a reference of the caller's. */
static sp_status enqueue(sp_executor *executor, sp_future *future)
{
    if (executor == NULL)
        return SP_MEMORY_ERROR;
    return sp__executor_is_inherited(executor) ? SP_SHUT_DOWN : executor->ops->enqueue(executor, future);
}

sp_future *sp_executor_submit(sp_executor *executor, const sp_task *task, const void *arg)
{
    sp_future *future = sp__future_create(task, arg, executor != NULL ? &executor->owner : NULL, 2);
    if (future == NULL) {
        sp__task_drop_foreign_arg(task, arg);
        return &sp__future_no_memory;
    }
    sp_status status = enqueue(executor, future);
    if (status != SP_OK)
        reject(executor, future, status);
    return future;
}

/* Did it fail without having been run? */
static bool was_refused(const sp_future *future)
{
    /* relaxed: stored before the task ran, and the phase was acquired */
    return sp__future_phase(future) == SP__FAILED && sp__load_relaxed(&future->runner) == 0;
}

sp_status sp_executor_post(sp_executor *executor, const sp_task *task, const void *arg)
{
    sp_future *future = sp_executor_submit(executor, task, arg);
    sp_status status = SP_OK;
    if (was_refused(future)) {
        status = future->status;
        sp__future_mark_seen(future); /* the caller is told here */
    }
    sp_future_release(future);
    return status;
}

sp_status sp_executor_shutdown(sp_executor *executor, const sp_shutdown_options *options)
{
    if (executor == NULL || sp__executor_is_inherited(executor))
        return SP_OK;
    bool cancel_futures = options != NULL && options->cancel_futures;
    bool wait = options == NULL || !options->no_wait;
    sp__ref_up(&executor->refs); /* a task may release the handle by which we were called */
    sp_status status = executor->ops->shutdown(executor, cancel_futures, wait, SP__NEVER);
    sp__executor_ref_down(executor);
    return status;
}

bool sp_executor_wait_idle(sp_executor *executor, double timeout)
{
    if (executor == NULL)
        return true;
    if (sp__executor_is_own(executor))
        return false;
    if (sp__executor_is_inherited(executor))
        return true;
    sp__ref_up(&executor->refs); /* as in sp_executor_shutdown */
    bool idle = executor->ops->wait_idle(executor, sp__deadline(timeout));
    sp__executor_ref_down(executor);
    return idle;
}

void sp_executor_stats(const sp_executor *executor, sp_executor_statistics *ret_stats)
{
    if (executor == NULL || sp__executor_is_inherited(executor))
        *ret_stats = (sp_executor_statistics){ 0 };
    else
        executor->ops->stats((sp_executor *)(uintptr_t)executor, ret_stats);
}

sp_executor *sp_executor_retain(sp_executor *executor)
{
    if (executor != NULL)
        sp__ref_up(&executor->handles);
    return executor;
}

void sp_executor_release(sp_executor *executor)
{
    if (executor == NULL || sp__executor_is_inherited(executor) ||
        !sp__ref_down_for_good(&executor->handles)) /* a task or a finalizer may still call it, without a handle */
        return;
    (void)executor->ops->shutdown(executor, false, false, SP__NEVER);
    sp__executor_ref_down(executor);
}
