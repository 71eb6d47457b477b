/* Sleeping for a queue, and waking who need be.

   SPDX-License-Identifier: MIT */
#include "queue/queue.h"

#define SLEEPING(word) ((word) & (SP__WAKING - 1))

struct sleep {
    struct sp__sleepers *sleepers;
    const sp_queue *queue;
    bool (*must_wait)(const sp_queue *queue);
};

/* Under the bucket lock: count ourselves, then look. */
static bool count_in(void *context)
{
    const struct sleep *sleep = context;
    /* seq_cst: before must_wait looks; pairs with the load in sp__sleepers_wake */
    sp__add_seq_cst(&sleep->sleepers->word, 1);
    if (sleep->must_wait(sleep->queue))
        return true;
    sp__sub_relaxed(&sleep->sleepers->word, 1); /* relaxed: too high for a moment costs a waker one look */
    return false;
}

static void count_out(void *context, bool more)
{
    const struct sleep *sleep = context;
    (void)more;
    sp__sub_relaxed(&sleep->sleepers->word, 1); /* relaxed: as above */
}

enum sp__parked sp__sleepers_sleep(struct sp__sleepers *sleepers, const sp_queue *queue,
                                   bool (*must_wait)(const sp_queue *), int64_t deadline)
{
    struct sleep sleep = { sleepers, queue, must_wait };
    enum sp__parked parked = sp__park(&(struct sp__wait){ .address = sleepers,
                                                          .kind = sleepers->kind,
                                                          .must_wait = count_in,
                                                          .on_timeout = count_out,
                                                          .context = &sleep,
                                                          .deadline = deadline,
                                                          .spun = true });
    if (parked == SP__PARK_RECHECK)
        /* seq_cst: before we look again; a change that we do not see is by somebody who sees this */
        sp__and_seq_cst(&sleepers->word, ~SP__WAKING);
    return parked;
}

struct waking {
    struct sp__sleepers *sleepers;
    bool all;
};

/* Under the bucket lock: one of those who want to wake does. */
static size_t how_many(void *context)
{
    const struct waking *waking = context;
    /* relaxed: under the bucket lock sleepers come and go; WAKING is set here only */
    return waking->all ? SIZE_MAX : sp__load_relaxed(&waking->sleepers->word) & SP__WAKING ? 0 : 1;
}

static void count_woken(void *context, size_t woken, bool more)
{
    const struct waking *waking = context;
    (void)more;
    if (woken > 0 && !waking->all)
        sp__add_relaxed(&waking->sleepers->word, SP__WAKING - woken); /* relaxed: the bucket lock publishes it */
    else
        sp__sub_relaxed(&waking->sleepers->word, woken); /* relaxed: as above */
}

static void wake(struct sp__sleepers *sleepers, bool all)
{
    struct waking waking = { sleepers, all };
    sp__unpark(&(struct sp__wake){ .address = sleepers,
                                   .kind = sleepers->kind,
                                   .token = SP__PARK_RECHECK,
                                   .decide = how_many,
                                   .commit = count_woken,
                                   .context = &waking });
}

void sp__sleepers_wake_slow(struct sp__sleepers *sleepers)
{
    wake(sleepers, false);
}

void sp__sleepers_wake_all(struct sp__sleepers *sleepers)
{
    /* seq_cst: as in sp__sleepers_wake */
    if (SLEEPING(sp__load_seq_cst(&sleepers->word)) != 0)
        wake(sleepers, true);
}
