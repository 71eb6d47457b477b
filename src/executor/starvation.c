/* A pool whose tasks all wait for something that only a queued task would do.

   A worker whose task goes to sleep notes the time.  When it is the last permit holder to do so it has itself woken after a
   second, for a look; so does everybody who then queues a task.  No thread is needed, and nothing is done while some worker
   runs.

   SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "executor/pool.h"
#include "os/os.h"
#include "os/text.h"

#define TOO_LONG INT64_C(1000000000)

enum { ENOUGH = 1000 }; /* bytes of a report: no more workers are named */

/* ---- what a worker notes ---- */

static void nothing(void *context)
{
    (void)context;
}

/* Do all who hold a permit sleep? */
static bool all_sleep(const struct sp__pool *pool)
{
    /* seq_cst: after our addition, or after a task was queued; each sees the other's */
    return sp__load_seq_cst(&pool->parked) >= sp__crew_awake(sp__crew_look(&pool->crew));
}

/* The worker's task goes to sleep.  When is it late? */
static int64_t note_sleep(void *context, bool for_time_only)
{
    struct sp__worker *worker = context;
    struct sp__pool *pool = worker->pool;
    if (for_time_only || worker->lends > 0 || worker->resting || sp__executor_is_inherited(&pool->base))
        return SP__NEVER;
    int64_t now = sp__os_now();
    sp__store_relaxed(&worker->parked_at, now); /* relaxed: published by the addition */
    sp__add_seq_cst(&pool->parked, 1);          /* seq_cst: before we look; pairs with sp__see_to_it */
    return all_sleep(pool) ? now + TOO_LONG : SP__NEVER;
}

static void note_waking(void *context)
{
    struct sp__worker *worker = context;
    if (sp__load_relaxed(&worker->parked_at) == 0) /* relaxed: our own store */
        return;
    sp__store_relaxed(&worker->parked_at, 0);  /* relaxed: a report that comes too late is no harm */
    sp__sub_relaxed(&worker->pool->parked, 1); /* relaxed: too many for a moment costs a look */
    sp__store_relaxed(&worker->pool->told, 0); /* relaxed: as above */
}

static void late(void *context)
{
    struct sp__worker *worker = context;
    if (sp__has_tasks(worker->pool))
        sp__check_starvation(worker->pool);
}

void sp__starvation_watch(struct sp__worker *worker)
{
    worker->hooks = (struct sp__block_hooks){
        .before = nothing, .after = note_waking, .context = worker, .alarm = note_sleep, .late = late
    };
}

/* ---- the report ---- */

/* Under the lock: all who hold a permit have slept for a second, and are named.  False: some have not. */
static bool name_sleepers(struct sp__pool *pool, struct sp__text *text)
{
    int64_t since = sp__os_now() - TOO_LONG;
    uint64_t count = 0;
    for (struct sp__list *at = pool->all.next; at != &pool->all; at = at->next) {
        struct sp__worker *worker = sp__container_of(at, struct sp__worker, member);
        int64_t parked_at = sp__load_relaxed(&worker->parked_at); /* relaxed: a sleeper has stored it long ago */
        if (parked_at == 0)
            continue;
        if (parked_at > since)
            return false;
        /* relaxed: as above */
        if (text->length < ENOUGH)
            sp__text_add(text, "%s in worker %s waits; ", sp__load_relaxed(&worker->doing), worker->name);
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

void sp__check_starvation(struct sp__pool *pool)
{
    if (sp__count_tasks(pool) == 0)
        return;
    struct sp__text text;
    sp__text_init(&text);
    sp__text_add(&text, "pool %s makes no progress: ", pool->prefix);
    sp_lock_acquire(&pool->lock);
    /* relaxed: changes to 1 under the lock */
    bool starves = sp__load_relaxed(&pool->told) == 0 && name_sleepers(pool, &text);
    if (starves)
        sp__store_relaxed(&pool->told, 1); /* relaxed: as above */
    sp_lock_release(&pool->lock);
    if (starves) {
        name_queued(pool, &text);
        sp__starvation(text.bytes);
    }
    sp__text_free(&text);
}
