/* The thread pool: making it, submitting to it.

   SPDX-License-Identifier: MIT */
#include "executor/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/pause.h"
#include "base/refcount.h"
#include "os/os.h"
#include "os/text.h"
#include "sync/condition.h"

enum { MOST_WORKERS = 1 << 18 }; /* with loans, starts and ends less than the counts of the crew hold */

_Static_assert(sizeof(sp_thread_pool_options) == 104 || sizeof(void *) != 8, "programs are compiled against it");

static uint64_t last_pool; /* atomic, relaxed: numbers of unnamed pools */

/* Why the pool does not run the task: the message, and what `cause` says, if there is one. */
static sp_error *why_not(const sp_task *task, sp_status status, const sp_error *cause, const char *message)
{
    struct sp__text text;
    if (cause == NULL)
        return sp__error_new(status, task->name, task->file != NULL ? task->file : "?", 0, message);
    sp__text_init(&text);
    sp__text_add(&text, "%s: %s", message, cause->message);
    sp_error *error = sp__error_new(status, task->name, cause->file, cause->line, text.bytes);
    sp__text_free(&text);
    return error;
}

bool sp__pool_refuse(sp_future *future, sp_status status, const sp_error *cause, const char *message)
{
    return sp__future_phase(future) == SP__PENDING &&
           sp__future_fail(future, status, why_not(future->task, status, cause, message));
}

bool sp__pool_fail(sp_future *future, sp_status status, const sp_error *cause, const char *message)
{
    bool fails = sp__pool_refuse(future, status, cause, message);
    if (fails)
        sp_future_release(future);
    else
        sp__drop_dead(future);
    return fails;
}

struct failure {
    sp_status status;
    const sp_error *cause;
    const char *message;
};

static bool fail_one(sp_future *future, void *context)
{
    const struct failure *failure = context;
    return sp__pool_fail(future, failure->status, failure->cause, failure->message);
}

void sp__pool_fail_all(struct sp__pool *pool, sp_status status, const sp_error *cause, const char *message)
{
    sp__end_queued(pool, fail_one, &(struct failure){ status, cause, message });
}

static sp_error *explain(sp_executor *executor, sp_status status, const sp_task *task)
{
    if (status != SP_BROKEN_POOL)
        return NULL;
    /* why_broken: set for good before anybody is told of it */
    return why_not(task, status, sp__pool_of(executor)->why_broken, SP__BROKEN_TEXT);
}

/* A submit.  What it has queued may run at once, release the last handle and end the pool: if there is still something to see
   to then, the submit keeps the pool. */
struct submit {
    struct sp__pool *pool;
    bool looks; /* when the future is in: a worker may have to be called */
    bool keeps; /* it has a reference on the pool's memory */
};

static void keep_pool(struct submit *submit)
{
    if (!submit->keeps)
        sp__ref_up(&submit->pool->base.refs);
    submit->keeps = true;
}

/* Under the inbox's lock, when the future is in. */
static void keep_unless_seen_to(void *context)
{
    struct submit *submit = context;
    submit->looks = !sp__is_seen_to(submit->pool);
    if (submit->looks)
        keep_pool(submit);
}

static sp_status put_into_inbox(struct submit *submit, sp_future *future, size_t most)
{
    return sp__inbox_put(&submit->pool->inbox, future, most, keep_unless_seen_to, submit);
}

/* Put it in, and wait for room when there is none. */
static sp_status put_when_there_is_room(struct submit *submit, sp_future *future)
{
    struct sp__pool *pool = submit->pool;
    sp_status status = put_into_inbox(submit, future, pool->max_pending);
    if (status != SP_FULL)
        return status;
    keep_pool(submit);
    SP__PAUSE("pool: no room");
    sp_lock_acquire(&pool->lock);
    /* seq_cst: before we try again; pairs with the look after something was taken */
    sp__add_seq_cst(&pool->without_room, 1);
    while ((status = put_into_inbox(submit, future, pool->max_pending)) == SP_FULL)
        (void)sp__condition_wait_until(&pool->room, &pool->lock, SP__NEVER);
    sp__sub_relaxed(&pool->without_room, 1); /* relaxed: too many for a moment costs a notification */
    sp_lock_release(&pool->lock);
    return status;
}

/* What a worker is told.  One that asks while the pool is being closed may still be let in: it empties its deque itself. */
static sp_status refusal_of(const struct sp__pool *pool)
{
    if (sp__load_acquire(&pool->broken)) /* acquire: pairs with the release in break_pool */
        return SP_BROKEN_POOL;
    return sp__load_relaxed(&pool->closed) ? SP_SHUT_DOWN : SP_OK; /* relaxed: see above */
}

static sp_status put(struct submit *submit, sp_future *future)
{
    struct sp__pool *pool = submit->pool;
    struct sp__worker *worker = sp__worker_self(pool);
    if (worker != NULL) {
        sp_status refusal = refusal_of(pool);
        submit->looks = true; /* the worker keeps the pool */
        if (refusal != SP_OK || sp__put_own(worker, future))
            return refusal;
    }
    if (pool->max_pending == 0 || sp__executor_is_own(&pool->base))
        return put_into_inbox(submit, future, 0);
    return put_when_there_is_room(submit, future);
}

/* No worker is awake and none can be started: nothing that is queued would ever run, and who lent a permit may wait for it. */
void sp__pool_give_up(struct sp__pool *pool, int error)
{
    char message[80];
    sp_lock_acquire(&pool->lock);
    bool alone = sp__list_empty(&pool->sleepers) && sp__crew_awake(sp__crew_look(&pool->crew)) == 0 &&
                 pool->starting == pool->stuck;
    sp_lock_release(&pool->lock);
    if (!alone)
        return;
    snprintf(message, sizeof message, "no worker thread could be started (errno %d)", error);
    sp__pool_fail_all(pool, SP_OS_ERROR, NULL, message);
}

static sp_status enqueue(sp_executor *executor, sp_future *future)
{
    struct submit submit = { .pool = sp__pool_of(executor) };
    sp_status status = put(&submit, future); /* LAST TOUCH of the pool, but for the two cases below */
    SP__PAUSE("pool: put");
    int error = status == SP_OK && submit.looks ? sp__see_to_it(submit.pool) : 0;
    if (error != 0) /* ours among them, unless somebody runs or cancels it: it has its end in any case */
        sp__pool_give_up(submit.pool, error);
    if (submit.keeps)
        sp__executor_ref_down(&submit.pool->base);
    return status;
}

static void stats(sp_executor *executor, sp_executor_statistics *ret_stats)
{
    struct sp__pool *pool = sp__pool_of(executor);
    sp_lock_acquire(&pool->lock);
    sp__pool_count(pool, &ret_stats->submitted, &ret_stats->completed);
    ret_stats->workers = pool->workers;
    sp_lock_release(&pool->lock);
}

static const struct sp__executor_ops ops = { .enqueue = enqueue,
                                             .explain = explain,
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

/* Places for the deques of max_workers and of some that stand in for those that wait; others use the inbox.  False: no memory. */
static bool make_places(struct sp__pool *pool)
{
    enum { SPARE = 16, BITS = 64 };
    pool->most_deques = pool->max_workers + SPARE;
    size_t places = pool->most_deques * sizeof(struct sp__deque *), words = (pool->most_deques + BITS - 1) / BITS;
    pool->deques = sp__os_zalloc(places + words * sizeof(uint64_t));
    if (pool->deques == NULL)
        return false;
    pool->marks = (uint64_t *)(void *)(pool->deques + pool->most_deques);
    return true;
}

static void configure(struct sp__pool *pool, const sp_thread_pool_options *options)
{
    pool->max_workers = options->max_workers != 0 ? options->max_workers : sp__default_workers();
    if (pool->max_workers > MOST_WORKERS)
        pool->max_workers = MOST_WORKERS;
    pool->max_compensation = options->max_compensation != 0 ? options->max_compensation : 4 * pool->max_workers + 16;
    if (pool->max_compensation > MOST_WORKERS)
        pool->max_compensation = MOST_WORKERS;
    pool->max_pending = options->max_pending;
    pool->stack_size = options->stack_size;
    pool->initializer = options->initializer;
    pool->initializer_arg = options->initializer_arg;
    pool->finalizer = options->finalizer;
    bool stays = options->idle_seconds <= 0 || options->idle_seconds >= 9.2e9 || sp__is_nan(options->idle_seconds);
    pool->idle_nanoseconds = stays ? SP__NEVER : (int64_t)(options->idle_seconds * 1e9);
}

/* What a program that was compiled against an earlier version does not know of is 0.  struct_size 0 counts as ours. */
static sp_thread_pool_options read_options(const sp_thread_pool_options *given)
{
    sp_thread_pool_options options = { .struct_size = sizeof options };
    if (given != NULL)
        memcpy(&options, given,
               given->struct_size != 0 && given->struct_size < sizeof options ? given->struct_size : sizeof options);
    return options;
}

/* NULL: no memory. */
static struct sp__pool *allocate(const sp_thread_pool_options *options)
{
    struct sp__pool *pool = sp__os_zalloc_aligned(_Alignof(struct sp__pool), sizeof *pool);
    if (pool == NULL)
        return NULL;
    configure(pool, options);
    pool->prefix = make_prefix(options->thread_name_prefix);
    pool->traits = sp__os_traits_of_maker(options->inherit_signal_mask);
    if (pool->prefix != NULL && pool->traits != NULL && make_places(pool))
        return pool;
    sp__os_free(pool->prefix);
    sp__os_traits_release(pool->traits);
    sp__os_free(pool);
    return NULL;
}

sp_executor *sp_thread_pool_new(const sp_thread_pool_options *given)
{
    const sp_thread_pool_options copy = read_options(given), *options = &copy;
    if (options->gil != NULL) {
        errno = EINVAL;
        return NULL;
    }
    struct sp__pool *pool = sp__registry_prepare() == 0 ? allocate(options) : NULL;
    if (pool == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    sp__list_init(&pool->loans);
    sp__list_init(&pool->keepers);
    sp__list_init(&pool->sleepers);
    sp__list_init(&pool->ended);
    sp__list_init(&pool->all);
    sp__list_init(&pool->endings);
    pool->base.owner = (struct sp__owner){ .lend = sp__pool_lend,
                                           .give_back = sp__pool_give_back,
                                           .claimed = sp__pool_claimed,
                                           .cancelled = sp__pool_cancelled,
                                           .tidy = sp__pool_tidy,
                                           .stack_to_help = options->stack_to_help };
    sp__executor_init(&pool->base, &ops);
    return &pool->base;
}
