/* A pool whose tasks all wait for something that only a queued task would do.

   A worker whose task goes to sleep notes the time.  When it is the last permit holder to do so it has itself woken after a
   second, for a look; everybody who then queues a task looks as well.  No thread is needed, and nothing is done while some
   worker runs.

   Some of the permit holders may wait for futures of the pool (loan.c), and can do without their permits: when all sleep and
   something is queued, the last one also looks whether it is time for one of these to give up its own.

   SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "base/pause.h"
#include "executor/pool.h"
#include "os/os.h"
#include "os/text.h"

#define SOON INT64_C(1000000) /* as long as loan.c waits at least */

enum { ENOUGH = 1000 }; /* bytes of a report: no more workers are named */

/* ---- what a worker notes ---- */

static void nothing(void *context)
{
    (void)context;
}

/* The worker's task goes to sleep.  When is it time for a look? */
static int64_t note_sleep(void *context, bool for_time_only)
{
    struct sp__worker *worker = context;
    struct sp__pool *pool = worker->pool;
    if (for_time_only || worker->resting || (worker->lends > 0 && !worker->keeps) ||
        sp__executor_is_inherited(&pool->base))
        return SP__NEVER;
    int64_t now = sp__os_now();
    sp__store_relaxed(&worker->parked_at, now); /* relaxed: published by the addition */
    if (!worker->keeps)                         /* else it is counted already */
        sp__add_seq_cst(&pool->parked, 1);      /* seq_cst: before we look; pairs with sp__see_to_it */
    if (!sp__all_sleep(pool))
        return SP__NEVER;
    /* relaxed: who counts in `parked` has counted here before */
    return sp__load_relaxed(&pool->kept) > 0 ? now + SOON : now + SP__STARVES_AFTER;
}

static void note_waking(void *context)
{
    struct sp__worker *worker = context;
    if (worker->resting || sp__load_relaxed(&worker->parked_at) == 0) /* relaxed: our own store */
        return;
    sp__store_relaxed(&worker->parked_at, 0); /* relaxed: a report that comes too late is no harm */
    if (!worker->keeps)
        sp__sub_relaxed(&worker->pool->parked, 1); /* relaxed: too many for a moment costs a look */
    sp__store_relaxed(&worker->pool->told, 0);     /* relaxed: as above */
}

/* Look, and say when to look again. */
static int64_t look(void *context)
{
    struct sp__worker *worker = context;
    int64_t last = sp__load_relaxed(&worker->parked_at) + SP__STARVES_AFTER; /* relaxed: our own store */
    worker->resting = true; /* while we wait for a lock, or in the user's hook */
    int64_t next = sp__check_progress(worker->pool);
    worker->resting = false;
    if (sp__os_now() >= last)
        return next;
    return next < last ? next : last;
}

void sp__starvation_watch(struct sp__worker *worker)
{
    worker->hooks = (struct sp__block_hooks){
        .before = nothing, .after = note_waking, .context = worker, .alarm = note_sleep, .late = look
    };
}

/* ---- the report ---- */

/* Under the lock.  Its task may have given the thread another name; its starter may not have stored the handle yet. */
static void name_sleeper(struct sp__text *text, const struct sp__worker *worker)
{
    sp__registry_lock(); /* the name lives as long as it is read */
    sp__text_add(text, "%s in worker %s waits; ", sp__load_relaxed(&worker->doing), /* relaxed: as parked_at */
                 worker->thread != NULL ? sp_thread_name(worker->thread) : worker->name);
    sp__registry_unlock();
}

/* Under the lock: all who hold a permit have slept for a second, and are named.  False: some have not. */
static bool name_sleepers(struct sp__pool *pool, struct sp__text *text)
{
    int64_t since = sp__os_now() - SP__STARVES_AFTER;
    uint64_t count = 0;
    for (struct sp__list *at = pool->all.next; at != &pool->all; at = at->next) {
        struct sp__worker *worker = sp__container_of(at, struct sp__worker, member);
        int64_t parked_at = sp__load_relaxed(&worker->parked_at); /* relaxed: a sleeper has stored it long ago */
        if (parked_at == 0 || worker->lent)
            continue;
        if (parked_at > since)
            return false;
        if (text->length < ENOUGH)
            name_sleeper(text, worker);
        count++;
    }
    return count > 0 && count >= sp__crew_awake(sp__crew_look(&pool->crew));
}

/* What waits in the queues. */
static void name_queued(struct sp__pool *pool, struct sp__text *text)
{
    char first[96];
    uint64_t count = sp__count_tasks(pool);
    if (sp__inbox_name_first(&pool->inbox, first, sizeof first))
        sp__text_add(text, "%" PRIu64 " tasks are queued, the first is %s", count, first);
    else
        sp__text_add(text, "%" PRIu64 " tasks that these submitted are queued", count);
}

/* Report it if all have slept for too long. */
static void check_starvation(struct sp__pool *pool)
{
    struct sp__text text;
    sp__text_init(&text);
    sp__text_add(&text, "pool %s makes no progress: ", pool->prefix);
    SP__PAUSE("starvation: looks");
    sp_lock_acquire(&pool->lock);
    /* Another may have reported it, and all may have been done, since the caller saw a reason to look.  relaxed: changes to 1
       under the lock */
    bool starves = sp__load_relaxed(&pool->told) == 0 && sp__count_tasks(pool) > 0 && name_sleepers(pool, &text);
    if (starves)
        sp__store_relaxed(&pool->told, 1); /* relaxed: as above */
    sp_lock_release(&pool->lock);
    if (starves) {
        name_queued(pool, &text);
        sp__starvation(text.bytes);
    }
    sp__text_free(&text);
}

int64_t sp__check_progress(struct sp__pool *pool)
{
    /* relaxed: a hint; somebody looks again */
    if (sp__load_relaxed(&pool->told) == 0 && sp__has_tasks(pool))
        check_starvation(pool);
    return sp__load_relaxed(&pool->kept) > 0 ? sp__relieve(pool) : SP__NEVER; /* relaxed: as in note_sleep */
}
