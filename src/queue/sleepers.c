/* Sleeping for a queue, and waking who need be: sleepers_protocol.h over the parking lot.

   SPDX-License-Identifier: MIT */
#include "base/pause.h"
#include "queue/queue.h"

struct sleep {
    struct sp__sleepers *sleepers;
    const sp_queue *queue;
    bool (*must_wait)(const sp_queue *queue);
};

static bool count_in(void *context)
{
    const struct sleep *sleep = context;
    return sp__sleepers_count_in(sleep->sleepers, sleep->queue, sleep->must_wait);
}

static void count_out(void *context, bool more)
{
    const struct sleep *sleep = context;
    (void)more;
    sp__sleepers_count_out(sleep->sleepers);
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
    SP__PAUSE("queue: slept");
    if (parked == SP__PARK_RECHECK)
        sp__sleepers_set_off(sleepers);
    return parked;
}

struct waking {
    struct sp__sleepers *sleepers;
    bool all;
};

static size_t how_many(void *context)
{
    const struct waking *waking = context;
    return sp__sleepers_to_wake(waking->sleepers, waking->all);
}

static void count_woken(void *context, size_t woken, bool more)
{
    const struct waking *waking = context;
    (void)more;
    sp__sleepers_count_woken(waking->sleepers, woken, waking->all);
}

static void unlink_some(struct sp__sleepers *sleepers, bool all, struct sp__list *woken)
{
    struct waking waking = { sleepers, all };
    sp__unpark_into(&(struct sp__wake){ .address = sleepers,
                                        .kind = sleepers->kind,
                                        .token = SP__PARK_RECHECK,
                                        .decide = how_many,
                                        .commit = count_woken,
                                        .context = &waking },
                    woken);
}

void sp__sleepers_unlink_slow(struct sp__sleepers *sleepers, struct sp__last_look *last)
{
    if (!last->wakes)
        sp__list_init(&last->woken);
    last->wakes = true;
    unlink_some(sleepers, false, &last->woken);
}

void sp__sleepers_wake_all(struct sp__sleepers *sleepers)
{
    struct sp__list woken;
    if (!sp__sleepers_are_there(sleepers))
        return;
    sp__list_init(&woken);
    unlink_some(sleepers, true, &woken);
    sp__wake_unlinked(&woken);
}
