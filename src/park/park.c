/* The parking lot.  Read README.md first: this file is its words made true.

   SPDX-License-Identifier: MIT */
#include "park/park.h"

#include <errno.h>
#include <string.h>

#include "base/list.h"
#include "base/nested.h"
#include "base/pause.h"
#include "park/deadline.h"
#include "park/spin.h"
#include "park/wait_graph.h"
#include "park/word_lock.h"

enum { BUCKETS = 1024, CACHE_LINE = 64 };

/* The life of a sleeper's record, on the sleeper's stack:
   WAITING   its thread is awake: it spins, or is about to sleep
   ASLEEP    its thread sleeps on `state`, or is about to
   WOKEN     the waker is done with the record; `token` is readable
   In the first two: queued, it is linked in its bucket; not queued, a waker has unlinked it and is about to store WOKEN. */
enum { WAITING = 0, ASLEEP = 1, WOKEN = 2 };

struct sleeper {
    struct sp__list node;  /* guarded by the bucket lock while queued; by the waker between unlinking and WOKEN */
    const void *address;   /* set once before the record is linked */
    enum sp__kind kind;    /* set once before the record is linked */
    bool queued;           /* guarded by the bucket lock */
    enum sp__parked token; /* written under the bucket lock, published by `state` */
    uint32_t state;        /* atomic, futex word: WAITING, ASLEEP or WOKEN */
};

struct bucket {
    struct sp__word_lock lock;
    uint32_t sleepers;    /* atomic, written under the lock; read without it by sp__park_maybe_waiters */
    struct sp__list list; /* guarded by lock; next == NULL until the bucket is first used */
} __attribute__((aligned(CACHE_LINE)));

static struct bucket buckets[BUCKETS];

static struct bucket *bucket_of(const void *address)
{
    /* Fibonacci hashing: the high bits of the product depend on all bits of the address. */
    uint64_t mixed = (uint64_t)(uintptr_t)address * UINT64_C(0x9E3779B97F4A7C15);
    return &buckets[mixed >> 54];
}
_Static_assert(BUCKETS == 1 << (64 - 54), "bucket_of takes as many bits as there are buckets");

static struct bucket *lock_bucket(const void *address) SP__UNCHECKED
{
    struct bucket *bucket = bucket_of(address);
    sp__word_lock_acquire(&bucket->lock);
    if (bucket->list.next == NULL)
        sp__list_init(&bucket->list);
    return bucket;
}

static void unlock_bucket(struct bucket *bucket) SP__UNCHECKED
{
    sp__word_lock_release(&bucket->lock);
}

/* Does anybody sleep for (address, kind)?  Under the bucket lock. */
static bool anyone(const struct bucket *bucket, const void *address, enum sp__kind kind)
{
    for (const struct sp__list *at = bucket->list.next; at != &bucket->list; at = at->next) {
        const struct sleeper *other = sp__container_of(at, struct sleeper, node);
        if (other->address == address && other->kind == kind)
            return true;
    }
    return false;
}

/* Link the record unless the word has changed. */
static bool enqueue(struct sleeper *self, const struct sp__wait *wait)
{
    struct bucket *bucket = lock_bucket(wait->address);
    /* seq_cst: counted before must_wait reads the word; pairs with the load in sp__park_maybe_waiters */
    sp__add_seq_cst(&bucket->sleepers, 1);
    SP__PAUSE("park: counted in");
    bool stays = wait->must_wait(wait->context);
    if (stays) {
        self->queued = true;
        sp__list_append(&bucket->list, &self->node);
    } else {
        /* relaxed: a count that is too high for a moment costs a waker one look */
        sp__sub_relaxed(&bucket->sleepers, 1);
    }
    unlock_bucket(bucket);
    return stays;
}

/* Under the bucket lock.  For a moment: as if others of (address, kind) still slept. */
static void dequeue(struct bucket *bucket, struct sleeper *self, const struct sp__wait *wait, bool for_good)
{
    self->queued = false;
    sp__list_remove(&self->node);
    sp__sub_relaxed(&bucket->sleepers, 1); /* relaxed: as in enqueue */
    if (wait->on_timeout != NULL)
        wait->on_timeout(wait->context, !for_good || anyone(bucket, wait->address, wait->kind));
}

/* Leave the list: for good, or for a moment, when the marks of the object stay as they are.  False: a waker was first or will
   be. */
static bool withdraw(struct sleeper *self, const struct sp__wait *wait, bool for_good)
{
    struct bucket *bucket = lock_bucket(wait->address);
    bool may = self->queued && (wait->may_give_up == NULL || wait->may_give_up(wait->context));
    if (may)
        dequeue(bucket, self, wait, for_good);
    unlock_bucket(bucket);
    return may;
}

/* Watch the state for a while.  True: woken. */
static bool spin_until_woken(struct sleeper *self)
{
    struct sp__spin spin = SP__SPIN;
    do {
        /* acquire: pairs with the exchange in wake_all; token and all that the waker did are visible */
        if (sp__load_acquire(&self->state) == WOKEN) {
            sp__spin_paid(&spin);
            return true;
        }
    } while (sp__spin(&spin));
    return false;
}

enum slept { SLEPT_UNTIL_WOKEN, SLEPT_TOO_LONG, SLEPT_NOT };

/* Sleep while the record is ASLEEP, until then at most, in the graph of waits. */
static enum slept sleep_on(struct sleeper *self, struct sp__edge *edge, int64_t until)
{
    bool woken;
    if (edge != NULL && !sp__edge_publish(edge))
        return SLEPT_NOT;
    /* acquire: pairs with the exchange in wake_all; token and all that the waker did are visible */
    while (!(woken = sp__load_acquire(&self->state) == WOKEN) &&
           sp__os_futex_wait(&self->state, ASLEEP, until) != ETIMEDOUT)
        continue;
    if (edge != NULL)
        sp__edge_withdraw(edge);
    return woken ? SLEPT_UNTIL_WOKEN : SLEPT_TOO_LONG;
}

/* A waker has unlinked the record, or will: its store is all that is left to wait for. */
static enum sp__parked sleep_until_stored(struct sleeper *self)
{
    SP__PAUSE("park: being woken");
    (void)sleep_on(self, NULL, SP__NEVER);
    return self->token;
}

/* Give up.  `result` is what became of the wait, unless a waker was first. */
static enum sp__parked give_up(struct sleeper *self, const struct sp__wait *wait, enum sp__parked result)
{
    SP__PAUSE("park: gives up");
    return withdraw(self, wait, true) ? result : sleep_until_stored(self);
}

/* The hook has forked, this is the child, and the buckets are empty here: back into the queue, for the marks of the object say
   that we wait.  False: a waker of the parent had taken us out, and has no time left to say so. */
static bool link_in_child(struct sleeper *self, const struct sp__wait *wait)
{
    struct bucket *bucket = lock_bucket(wait->address);
    if (self->queued) {
        sp__list_append(&bucket->list, &self->node);
        sp__add_relaxed(&bucket->sleepers, 1); /* relaxed: under the bucket lock, as far as wakers of the child go */
    }
    unlock_bucket(bucket);
    return self->queued;
}

/* Run something in the middle of a wait.  It may be anything, for as long as it likes, and a wake-up that came to us meanwhile
   would be of no use to the others: so we go out of the queue, unless a grant could be lost by that.  False: the wait is over,
   see *result. */
static bool run_meanwhile(struct sleeper *self, const struct sp__wait *wait, void (*run)(void *context), void *context,
                          enum sp__parked *result)
{
    if (!wait->keeps_place && !withdraw(self, wait, false)) {
        *result = sleep_until_stored(self);
        return false;
    }
    const uint32_t process = sp__process_number;
    run(context);
    if (wait->keeps_place) {
        bool goes_on = process == sp__process_number || link_in_child(self, wait);
        if (!goes_on)
            *result = self->token;
        return goes_on;
    }
    *result = SP__PARK_CHANGED;
    return enqueue(self, wait);
}

struct lateness {
    const struct sp__block_hooks *hooks;
    int64_t next_alarm;
};

static void call_late(void *context)
{
    struct lateness *lateness = context;
    lateness->next_alarm = lateness->hooks->late(lateness->hooks->context);
}

/* The alarm: call `late`, and set the next one.  False: as above. */
static bool be_late(struct sleeper *self, const struct sp__wait *wait, const struct sp__block_hooks *hooks,
                    int64_t *ret_alarm, enum sp__parked *result)
{
    struct lateness lateness = { hooks, SP__NEVER };
    bool goes_on = run_meanwhile(self, wait, call_late, &lateness, result);
    *ret_alarm = lateness.next_alarm;
    return goes_on;
}

static void make_put_off(void *context)
{
    (void)context;
    sp__run_deferred();
}

static enum sp__parked sleep_until_woken(struct sleeper *self, const struct sp__wait *wait,
                                         const struct sp__block_hooks *hooks)
{
    uint32_t seen = WAITING;
    enum sp__parked result;
    if (!wait->spun && spin_until_woken(self))
        return self->token;
    int64_t alarm = SP__NEVER;
    if (hooks != NULL && hooks->alarm != NULL)
        alarm = hooks->alarm(hooks->context, wait->kind == SP__SLEEP);
    SP__PAUSE("park: awake");
    /* acq_rel: and acquire when it fails; pairs with the exchange in wake_all, as in sleep_on */
    if (!sp__cas_acq_rel(&self->state, &seen, ASLEEP))
        return self->token;
    SP__PAUSE("park: asleep");
    for (;;) {
        bool alarm_first = alarm < wait->deadline;
        switch (sleep_on(self, wait->edge, alarm_first ? alarm : wait->deadline)) {
        case SLEPT_UNTIL_WOKEN:
            return self->token;
        case SLEPT_NOT:
            return give_up(self, wait, SP__PARK_DEADLOCK);
        case SLEPT_TOO_LONG:
            if (!alarm_first)
                return give_up(self, wait, SP__PARK_TIMEOUT);
            if (!be_late(self, wait, hooks, &alarm, &result))
                return result;
        }
    }
}

/* The thread goes to sleep without a limit, or is awake again: for sp__exit, which looks from outside. */
static void note_sleep(const struct sp__wait *wait)
{
    uint32_t *sleeps = &sp__self()->thread_runner->sleeps;
    if (wait->deadline != SP__NEVER)
        return;
    /* relaxed: our own count; a look at it that comes late is no harm */
    sp__store_relaxed(sleeps, sp__load_relaxed(sleeps) + 1);
}

static enum sp__parked sleep_noted(struct sleeper *self, const struct sp__wait *wait,
                                   const struct sp__block_hooks *hooks)
{
    note_sleep(wait);
    enum sp__parked result = sleep_until_woken(self, wait, hooks);
    note_sleep(wait);
    return result;
}

enum sp__parked sp__park(const struct sp__wait *wait)
{
    struct sleeper self = { .address = wait->address, .kind = wait->kind };

    if (!enqueue(&self, wait))
        return SP__PARK_CHANGED;
    SP__PAUSE("park: linked");
    if (wait->before_sleep != NULL)
        wait->before_sleep(wait->context);
    sp__wake_deferred(); /* a sleeper holds up nobody whom it has notified; they may be part of a cycle */
    enum sp__parked result;
    /* It may wait for what it has put off itself. */
    if (sp__has_put_off() && !run_meanwhile(&self, wait, make_put_off, NULL, &result))
        return result;
    const struct sp__block_hooks *hooks = sp__self()->hooks;
    if (hooks == NULL)
        return sleep_noted(&self, wait, NULL);
    hooks->before(hooks->context);
    result = sleep_noted(&self, wait, hooks);
    hooks->after(hooks->context);
    return result;
}

/* Unlink up to wake->most matching sleepers into `woken`.  Under the bucket lock. */
static size_t unlink_matching(struct bucket *bucket, const struct sp__wake *wake, struct sp__list *woken,
                              bool *ret_more)
{
    size_t count = 0, most = wake->decide != NULL ? wake->decide(wake->context) : wake->most;
    *ret_more = false;
    for (struct sp__list *at = bucket->list.next, *next; at != &bucket->list; at = next) {
        struct sleeper *other = sp__container_of(at, struct sleeper, node);
        next = at->next;
        if (other->address != wake->address || other->kind != wake->kind)
            continue;
        if (count == most) {
            *ret_more = true;
            break;
        }
        sp__list_remove(at);
        sp__list_append(woken, at);
        other->queued = false;
        other->token = wake->token;
        count++;
    }
    sp__sub_relaxed(&bucket->sleepers, (uint32_t)count); /* relaxed: as in enqueue */
    return count;
}

/* After the bucket lock is free: a woken thread that runs at once must not run into it. */
static void wake_all(struct sp__list *woken)
{
    for (struct sp__list *at = woken->next; at != woken;) {
        struct sleeper *other = sp__container_of(at, struct sleeper, node);
        at = at->next; /* before the store: afterwards the record is gone */
        uint32_t *word = &other->state;
        SP__PAUSE("park: unlinked");
        /* acq_rel: publishes token; pairs with the acquires of the sleeper.  LAST TOUCH of the record. */
        if (sp__exchange_acq_rel(word, WOKEN) == ASLEEP)
            sp__os_futex_wake(word, 1);
        SP__PAUSE("park: woken");
    }
}

static void keep_for_later(struct sp__list *woken)
{
    struct sp__list *deferred = &sp__self()->deferred;
    if (deferred->next == NULL)
        sp__list_init(deferred);
    sp__list_move_all(deferred, woken);
}

size_t sp__unpark(const struct sp__wake *wake)
{
    struct sp__list woken;
    bool more;

    sp__list_init(&woken);
    struct bucket *bucket = lock_bucket(wake->address);
    size_t count = unlink_matching(bucket, wake, &woken, &more);
    if (wake->commit != NULL)
        wake->commit(wake->context, count, more);
    bool deferred = count > 0 && wake->defer != NULL && wake->defer(wake->context);
    unlock_bucket(bucket);
    if (deferred)
        keep_for_later(&woken);
    else
        wake_all(&woken);
    return count;
}

void sp__unpark_into(const struct sp__wake *wake, struct sp__list *woken)
{
    bool more;
    struct bucket *bucket = lock_bucket(wake->address);
    size_t count = unlink_matching(bucket, wake, woken, &more);
    if (wake->commit != NULL)
        wake->commit(wake->context, count, more);
    unlock_bucket(bucket);
}

void sp__wake_unlinked(struct sp__list *woken)
{
    wake_all(woken);
}

void sp__wake_deferred(void)
{
    sp__wake_deferred_of(sp__self());
}

void sp__wake_deferred_of(struct sp__runner *runner)
{
    struct sp__list *deferred = &runner->deferred, woken;
    if (deferred->next == NULL || sp__list_empty(deferred))
        return;
    sp__list_init(&woken);
    sp__list_move_all(&woken, deferred);
    wake_all(&woken);
}

bool sp__park_maybe_waiters(const void *address)
{
    /* seq_cst: after the caller's seq_cst change of its word; pairs with the addition in enqueue */
    return sp__load_seq_cst(&bucket_of(address)->sleepers) != 0;
}

void sp__park_block(void (*fn)(void *arg), void *arg, struct sp__edge *edge)
{
    const struct sp__block_hooks *hooks = sp__self()->hooks;
    sp__wake_deferred(); /* as in sp__park */
    sp__run_deferred();
    if (hooks != NULL)
        hooks->before(hooks->context);
    if (edge != NULL)
        (void)sp__edge_publish(edge);
    SP__PAUSE("park: blocks");
    fn(arg);
    if (edge != NULL)
        sp__edge_withdraw(edge);
    if (hooks != NULL)
        hooks->after(hooks->context);
}

void sp__park_after_fork(void)
{
    memset(buckets, 0, sizeof buckets);
}
