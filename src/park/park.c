/* The parking lot.  Read README.md first: this file is its words made true.

   SPDX-License-Identifier: MIT */
#include "park/park.h"

#include <errno.h>
#include <string.h>

#include "base/list.h"
#include "park/deadline.h"
#include "park/spin.h"
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

enum withdrawal { WITHDRAWN, BEING_WOKEN, MUST_STAY };

/* At the deadline: leave the list, unless a waker was first or will be. */
static enum withdrawal withdraw(struct sleeper *self, const struct sp__wait *wait)
{
    struct bucket *bucket = lock_bucket(wait->address);
    enum withdrawal result = BEING_WOKEN;
    if (self->queued)
        result = wait->may_give_up == NULL || wait->may_give_up(wait->context) ? WITHDRAWN : MUST_STAY;
    if (result == WITHDRAWN) {
        self->queued = false;
        sp__list_remove(&self->node);
        sp__sub_relaxed(&bucket->sleepers, 1); /* relaxed: as in enqueue */
        if (wait->on_timeout != NULL)
            wait->on_timeout(wait->context, anyone(bucket, wait->address, wait->kind));
    }
    unlock_bucket(bucket);
    return result;
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

/* Sleep while the record is ASLEEP, until the deadline; `late` is called when `alarm` comes first. */
static enum sp__parked sleep_on(struct sleeper *self, const struct sp__wait *wait, const struct sp__block_hooks *hooks,
                                int64_t alarm)
{
    int64_t deadline = wait->deadline;
    /* acquire: pairs with the exchange in wake_all; token and all that the waker did are visible */
    while (sp__load_acquire(&self->state) == ASLEEP) {
        bool alarm_first = alarm < deadline;
        if (sp__os_futex_wait(&self->state, ASLEEP, alarm_first ? alarm : deadline) != ETIMEDOUT)
            continue;
        if (alarm_first) {
            alarm = SP__NEVER;
            hooks->late(hooks->context);
        } else if (withdraw(self, wait) == WITHDRAWN) {
            return SP__PARK_TIMEOUT;
        } else {
            deadline = SP__NEVER; /* a waker's store is all that is left to wait for */
        }
    }
    return self->token;
}

static enum sp__parked sleep_until_woken(struct sleeper *self, const struct sp__wait *wait,
                                         const struct sp__block_hooks *hooks)
{
    uint32_t seen = WAITING;
    if (!wait->spun && spin_until_woken(self))
        return self->token;
    int64_t alarm = SP__NEVER;
    if (hooks != NULL && hooks->alarm != NULL)
        alarm = hooks->alarm(hooks->context, wait->kind == SP__SLEEP);
    /* acq_rel: and acquire when it fails; pairs with the exchange in wake_all, as in sleep_on */
    if (!sp__cas_acq_rel(&self->state, &seen, ASLEEP))
        return self->token;
    return sleep_on(self, wait, hooks, alarm);
}

enum sp__parked sp__park(const struct sp__wait *wait)
{
    struct sleeper self = { .address = wait->address, .kind = wait->kind };

    if (!enqueue(&self, wait))
        return SP__PARK_CHANGED;
    if (wait->before_sleep != NULL)
        wait->before_sleep(wait->context);
    sp__wake_deferred(); /* whoever sleeps holds up nobody; they may be part of a cycle */
    const struct sp__block_hooks *hooks = sp__self()->hooks;
    if (hooks == NULL)
        return sleep_until_woken(&self, wait, NULL);
    hooks->before(hooks->context);
    enum sp__parked result = sleep_until_woken(&self, wait, hooks);
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
        /* acq_rel: publishes token; pairs with the acquires of the sleeper.  LAST TOUCH of the record. */
        if (sp__exchange_acq_rel(word, WOKEN) == ASLEEP)
            sp__os_futex_wake(word, 1);
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

void sp__wake_deferred(void)
{
    struct sp__list *deferred = &sp__self()->deferred, woken;
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

void sp__park_block(void (*fn)(void *arg), void *arg)
{
    const struct sp__block_hooks *hooks = sp__self()->hooks;
    sp__wake_deferred(); /* as in sp__park */
    if (hooks != NULL)
        hooks->before(hooks->context);
    fn(arg);
    if (hooks != NULL)
        hooks->after(hooks->context);
}

void sp__park_after_fork(void)
{
    memset(buckets, 0, sizeof buckets);
}
