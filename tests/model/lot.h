/* A bucket of the parking lot in miniature: its lock, and a record for each thread.  It keeps the promises that park.c makes
   (src/park/README.md); how park.c keeps them is not modelled.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_MODEL_LOT_H
#define SP_TESTS_MODEL_LOT_H

#include "model.h"

enum { LOT_THREADS = 4 };

struct lot_sleeper {
    bool queued;        /* guarded by the bucket lock */
    int kind;           /* as above */
    unsigned long turn; /* as above */
    rl::semaphore<struct lot_tag> wake;
};

struct lot {
    rl::mutex lock;
    unsigned long turns; /* guarded by lock */
    struct lot_sleeper sleepers[LOT_THREADS];
};

/* The sleepers that one wake-up has unlinked. */
struct lot_woken {
    struct lot_sleeper *all[LOT_THREADS];
    size_t count;
};

static struct {
    unsigned long slept, changed, timed_out, woken_late;
} lot_happened;

static inline void lot_init(struct lot *lot)
{
    lot->turns = 0;
    for (int i = 0; i < LOT_THREADS; i++) {
        lot->sleepers[i].queued = false;
        lot->sleepers[i].wake.init(false, 0, 1, RL_INFO);
    }
}

static inline void lot_end(struct lot *lot)
{
    for (int i = 0; i < LOT_THREADS; i++) {
        RL_ASSERT(!lot->sleepers[i].queued);
        lot->sleepers[i].wake.deinit(RL_INFO);
    }
}

/* Who of a kind has slept longest?  Under the bucket lock.  NULL: nobody sleeps. */
static inline struct lot_sleeper *lot_first(struct lot *lot, int kind)
{
    struct lot_sleeper *first = NULL;
    for (struct lot_sleeper *at = lot->sleepers; at != lot->sleepers + LOT_THREADS; at++)
        if (at->queued && at->kind == kind && (first == NULL || at->turn < first->turn))
            first = at;
    return first;
}

/* Under the bucket lock. */
static inline struct lot_woken lot_unlink(struct lot *lot, int kind, size_t most)
{
    struct lot_woken woken;
    struct lot_sleeper *next;
    woken.count = 0;
    while (woken.count < most && (next = lot_first(lot, kind)) != NULL) {
        next->queued = false;
        woken.all[woken.count++] = next;
    }
    return woken;
}

/* After the bucket lock. */
static inline void lot_wake(const struct lot_woken *woken)
{
    for (size_t i = 0; i < woken->count; i++)
        woken->all[i]->wake.signal(RL_INFO);
}

/* Under the bucket lock. */
static inline void lot_link(struct lot *lot, int kind)
{
    struct lot_sleeper *self = &lot->sleepers[rl::thread_index()];
    self->queued = true;
    self->kind = kind;
    self->turn = lot->turns++;
}

/* After lot_link and the bucket lock.  False: out of time, but it may be woken: see lot_withdraw. */
static inline bool lot_sleep(struct lot *lot, bool timed)
{
    lot_happened.slept++;
    struct lot_sleeper *self = &lot->sleepers[rl::thread_index()];
    return self->wake.wait(false, timed, RL_INFO) != rl::sema_wakeup_reason_timeout;
}

/* Under the bucket lock, out of time.  False: somebody is waking us; lot_sleep without a limit is next. */
static inline bool lot_withdraw(struct lot *lot)
{
    struct lot_sleeper *self = &lot->sleepers[rl::thread_index()];
    bool queued = self->queued;
    self->queued = false;
    lot_happened.timed_out += queued;
    lot_happened.woken_late += !queued;
    return queued;
}

static inline bool lot_was_used(const char *program)
{
    bool ok = model_happened(program, "slept", lot_happened.slept);
    ok = model_happened(program, "saw the word change instead", lot_happened.changed) && ok;
    ok = model_happened(program, "slept too long", lot_happened.timed_out) && ok;
    return model_happened(program, "were woken just then", lot_happened.woken_late) && ok;
}

#endif
