/* The thread pool: making, submitting, the queue, loans.

   SPDX-License-Identifier: MIT */
#include "executor/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <spool/time.h>

#include "base/refcount.h"
#include "os/os.h"
#include "sync/condition.h"

enum { MOST_WORKERS = 1 << 30 }; /* room for loans in the sum; no system has so many threads */

_Static_assert(sizeof(sp_thread_pool_options) == 80 || sizeof(void *) != 8, "programs are compiled against it");

static uint64_t last_pool; /* atomic, relaxed: numbers of unnamed pools */

bool sp__pool_wake_worker(struct sp__pool *pool)
{
    bool woken = pool->idle > 0 && sp__condition_wake(&pool->work, 1) == 1;
    if (woken)
        pool->idle--; /* the notification is meant for one sleeper: nobody else may count on it */
    return woken;
}

void sp__pool_wake_all_workers(struct sp__pool *pool)
{
    pool->idle -= (unsigned)sp__condition_wake(&pool->work, SIZE_MAX);
}

static void push(struct sp__pool *pool, sp_future *future)
{
    future->next = NULL;
    if (pool->last != NULL)
        pool->last->next = future;
    else
        pool->first = future;
    pool->last = future;
    pool->queued++;
}

sp_future *sp__pool_take_queue(struct sp__pool *pool)
{
    sp_future *chain = pool->first;
    pool->first = pool->last = NULL;
    pool->queued = 0;
    sp_condition_notify_all(&pool->room);
    return chain;
}

/* Under the lock: something that a sleeping worker waits for. */
static sp_future *take_awaited(struct sp__pool *pool)
{
    for (struct sp__list *at = pool->loans.next; at != &pool->loans; at = at->next) {
        struct sp__loan *loan = sp__container_of(at, struct sp__loan, link);
        while (loan->next < loan->n) {
            sp_future *future = loan->awaited[loan->next++];
            if (future->owner == &pool->base.owner && sp__future_phase(future) == SP__PENDING)
                return sp_future_retain(future);
        }
    }
    return NULL;
}

sp_future *sp__pool_take(struct sp__pool *pool)
{
    sp_future *future = take_awaited(pool);
    if (future != NULL || (future = pool->first) == NULL)
        return future;
    pool->first = future->next;
    if (pool->first == NULL)
        pool->last = NULL;
    pool->queued--;
    sp_condition_notify(&pool->room, 1);
    return future;
}

void sp__pool_fail_all(sp_future *chain, sp_status status, const sp_error *cause, const char *message)
{
    char text[512];
    snprintf(text, sizeof text, cause != NULL ? "%s: %s" : "%s", message, cause != NULL ? cause->message : "");
    for (sp_future *next; chain != NULL; chain = next) {
        next = chain->next;
        const sp_task *task = chain->task;
        const char *file = cause != NULL ? cause->file : task->file != NULL ? task->file : "?";
        (void)sp__future_fail(chain, status,
                              sp__error_new(status, task->name, file, cause != NULL ? cause->line : 0, text));
        sp_future_release(chain);
    }
}

/* Under the lock: may a future come in?  Waits for room. */
static sp_status await_entry(struct sp__pool *pool)
{
    bool bounded = pool->max_pending != 0 && !sp__executor_is_own(&pool->base);
    while (bounded && !pool->closed && !pool->broken && pool->queued >= pool->max_pending)
        (void)sp__condition_wait_until(&pool->room, &pool->lock, SP__NEVER);
    return pool->broken ? SP_BROKEN_POOL : pool->closed ? SP_SHUT_DOWN : SP_OK;
}

/* Under the lock: see to it that somebody runs what was just made available.  True: the caller must start a worker, which
   is counted already. */
static bool needs_worker(struct sp__pool *pool)
{
    if (sp__pool_wake_worker(pool) || pool->workers >= pool->max_workers + pool->lent)
        return false;
    pool->workers++;
    pool->uncollected++;
    sp__ref_up(&pool->base.refs);
    return true;
}

/* There is no worker and none can be started: nothing that is queued would ever run.  An errno value, 0 when some worker
   is there after all. */
static sp_status give_up_queue(struct sp__pool *pool, int error)
{
    char message[160];
    sp_lock_acquire(&pool->lock);
    sp_future *chain = pool->workers == 0 ? sp__pool_take_queue(pool) : NULL;
    sp_lock_release(&pool->lock);
    if (chain == NULL)
        return SP_OK;
    snprintf(message, sizeof message, "no worker thread could be started (errno %d)", error);
    sp__pool_fail_all(chain, SP_OS_ERROR, NULL, message);
    return SP_OS_ERROR;
}

static sp_error *copy_of_reason(const struct sp__pool *pool, const sp_task *task)
{
    char text[512];
    const sp_error *why = pool->why_broken;
    snprintf(text, sizeof text, "the pool is broken, its initializer failed: %s", why->message);
    return sp__error_new(SP_BROKEN_POOL, task->name, why->file, why->line, text);
}

static sp_status enqueue(sp_executor *executor, sp_future *future, sp_error **ret_error)
{
    struct sp__pool *pool = sp__pool_of(executor);
    sp_lock_acquire(&pool->lock);
    sp_status status = await_entry(pool);
    if (status != SP_OK) {
        if (status == SP_BROKEN_POOL)
            *ret_error = copy_of_reason(pool, future->task);
        sp_lock_release(&pool->lock);
        return status;
    }
    push(pool, sp_future_retain(future));
    pool->submitted++;
    bool start = needs_worker(pool);
    sp_lock_release(&pool->lock);
    if (!start)
        return SP_OK;
    int error = sp__pool_start_worker(pool);
    if (error == 0 || give_up_queue(pool, error) == SP_OK)
        return SP_OK;
    /* Ours was among those that failed, unless somebody ran or cancelled it: the future has its end in any case. */
    return sp__future_phase(future) == SP__FAILED ? SP_OS_ERROR : SP_OK;
}

/* Is there anything that one more worker could do now?  What comes later finds the higher bound. */
static bool has_work(const struct sp__pool *pool, const struct sp__loan *loan)
{
    if (pool->first != NULL)
        return true;
    for (size_t i = 0; i < loan->n; i++)
        if (loan->awaited[i]->owner == &pool->base.owner && sp__future_phase(loan->awaited[i]) == SP__PENDING)
            return true;
    return false;
}

static bool lend(struct sp__owner *owner, struct sp__loan *loan)
{
    struct sp__pool *pool = sp__container_of(owner, struct sp__pool, base.owner);
    sp_lock_acquire(&pool->lock);
    pool->lent++;
    sp__list_append(&pool->loans, &loan->link);
    bool start = has_work(pool, loan) && needs_worker(pool);
    sp_lock_release(&pool->lock);
    if (!start || sp__pool_start_worker(pool) == 0)
        return true;
    owner->give_back(owner, loan);
    return false;
}

static void give_back(struct sp__owner *owner, struct sp__loan *loan)
{
    struct sp__pool *pool = sp__container_of(owner, struct sp__pool, base.owner);
    sp_lock_acquire(&pool->lock);
    pool->lent--;
    sp__list_remove(&loan->link);
    sp_lock_release(&pool->lock);
}

static void stats(sp_executor *executor, sp_executor_statistics *ret_stats)
{
    struct sp__pool *pool = sp__pool_of(executor);
    sp_lock_acquire(&pool->lock);
    *ret_stats = (sp_executor_statistics){ pool->submitted, pool->completed, pool->workers };
    sp_lock_release(&pool->lock);
}

static const struct sp__executor_ops ops = { .enqueue = enqueue,
                                             .shutdown = sp__pool_shutdown,
                                             .wait_idle = sp__pool_wait_idle,
                                             .stats = stats,
                                             .destroy = sp__pool_destroy };

static char *make_prefix(const char *wanted)
{
    char made[32];
    if (wanted == NULL) {
        unsigned long long number = sp__add_relaxed(&last_pool, 1) + 1; /* relaxed: numbers need to differ */
        snprintf(made, sizeof made, "sp-%llu", number);
        wanted = made;
    }
    size_t size = strlen(wanted) + 1;
    char *prefix = sp__os_alloc(size);
    if (prefix != NULL)
        memcpy(prefix, wanted, size);
    return prefix;
}

static unsigned default_workers(void)
{
    unsigned cpus = sp_cpu_count(); /* Python's min(32, cpus + 4): threads mostly wait */
    return cpus < 28 ? cpus + 4 : 32;
}

static void configure(struct sp__pool *pool, const sp_thread_pool_options *options)
{
    pool->max_workers = options->max_workers != 0 ? options->max_workers : default_workers();
    if (pool->max_workers > MOST_WORKERS)
        pool->max_workers = MOST_WORKERS;
    pool->max_pending = options->max_pending;
    pool->stack_size = options->stack_size;
    pool->initializer = options->initializer;
    pool->initializer_arg = options->initializer_arg;
    pool->finalizer = options->finalizer;
    bool stays = options->idle_seconds <= 0 || options->idle_seconds >= 9.2e9 || sp__is_nan(options->idle_seconds);
    pool->idle_nanoseconds = stays ? SP__NEVER : (int64_t)(options->idle_seconds * 1e9);
}

sp_executor *sp_thread_pool_new(const sp_thread_pool_options *options)
{
    static const sp_thread_pool_options defaults = { .struct_size = sizeof defaults };
    if (options == NULL)
        options = &defaults;
    if (options->gil != NULL) {
        errno = EINVAL;
        return NULL;
    }
    struct sp__pool *pool = sp__registry_prepare() == 0 ? sp__os_zalloc(sizeof *pool) : NULL;
    char *prefix = pool != NULL ? make_prefix(options->thread_name_prefix) : NULL;
    if (prefix == NULL) {
        sp__os_free(pool);
        errno = ENOMEM;
        return NULL;
    }
    configure(pool, options);
    pool->prefix = prefix;
    sp__list_init(&pool->loans);
    sp__list_init(&pool->ended);
    pool->base.owner = (struct sp__owner){ lend, give_back };
    pool->base.drainable.after_fork = sp__pool_after_fork;
    sp__executor_init(&pool->base, &ops);
    return &pool->base;
}
