/* sp_condition: sleepers are counted in the first word, the lock they passed stands in the second.

   Both words change under the bucket lock only; the first is read without it by notify, which therefore sees every
   waiter that gave up the lock before.

   SPDX-License-Identifier: MIT */
#include <spool/sync.h>

#include "os/os.h"
#include "park/deadline.h"
#include "park/park.h"
#include "sync/condition.h"
#include "sync/lock_word.h"

_Static_assert(sizeof(sp_condition) == 16, "programs are compiled against it");

/* One wait; exactly one of the two locks is set. */
struct condition_wait {
    sp_condition *condition;
    sp_lock *lock;
    sp_rlock *rlock;
    uint32_t depth;        /* of rlock, while it is given up */
    struct sp__edge *edge; /* as in struct sp__wait */
};

static uint64_t lock_number(const struct condition_wait *wait)
{
    return (uint64_t)(uintptr_t)(wait->lock != NULL ? (const void *)wait->lock : (const void *)wait->rlock);
}

/* Under the bucket lock.  False: others wait here with another lock. */
static bool count_in(void *context)
{
    struct condition_wait *wait = context;
    sp_condition *condition = wait->condition;
    uint64_t sleepers = sp__load_relaxed(&condition->sp_word_); /* relaxed: changes under the bucket lock only */
    if (sleepers > 0 && condition->sp_reserved_ != lock_number(wait))
        return false;
    condition->sp_reserved_ = lock_number(wait);
    sp__store_relaxed(&condition->sp_word_, sleepers + 1); /* relaxed: the user's lock publishes it to notify */
    return true;
}

static void count_out(sp_condition *condition, uint64_t leaving, bool more)
{
    uint64_t sleepers = sp__load_relaxed(&condition->sp_word_); /* relaxed: under the bucket lock */
    /* relaxed: under the bucket lock.  Nobody more: 0, whatever a fork has left in the count. */
    sp__store_relaxed(&condition->sp_word_, more && sleepers > leaving ? sleepers - leaving : 0);
}

static void give_up_waiting(void *context, bool more)
{
    const struct condition_wait *wait = context;
    count_out(wait->condition, 1, more);
}

static void release_lock(void *context)
{
    struct condition_wait *wait = context;
    if (wait->lock != NULL)
        sp_lock_release(wait->lock);
    else
        wait->depth = sp__rlock_release_all(wait->rlock);
}

static void take_lock_back(struct condition_wait *wait)
{
    if (wait->lock != NULL)
        sp_lock_acquire(wait->lock);
    else
        sp__rlock_restore(wait->rlock, wait->depth);
}

static void commit_notify(void *context, size_t woken, bool more)
{
    count_out(context, woken, more); /* a woken waiter may free the condition: the bucket lock keeps them asleep */
}

/* Under the bucket lock, some waiters unlinked and none awake: their lock, which they want back, is there.  When the notifier
   holds it they are woken by its release, and not before: they would only run into it. */
static bool holds_their_lock(void *context)
{
    const sp_condition *condition = context;
    /* both kinds of locks begin with their word */
    uint64_t *word = (uint64_t *)(uintptr_t)condition->sp_reserved_;
    if (sp__lock_word_owner(word) != sp__self_id())
        return false;
    sp__lock_word_owe(word);
    return true;
}

size_t sp__condition_wake(sp_condition *condition, size_t n)
{
    return sp__unpark(&(struct sp__wake){ .address = condition,
                                          .kind = SP__CONDITION,
                                          .most = n,
                                          .token = SP__PARK_GRANTED,
                                          .commit = commit_notify,
                                          .defer = holds_their_lock,
                                          .context = condition });
}

static enum sp__parked sleep_on(struct condition_wait *wait, int64_t deadline)
{
    return sp__park(&(struct sp__wait){ .address = wait->condition,
                                        .kind = SP__CONDITION,
                                        .must_wait = count_in,
                                        .before_sleep = release_lock,
                                        .on_timeout = give_up_waiting,
                                        .context = wait,
                                        .deadline = deadline,
                                        .edge = deadline == SP__NEVER ? wait->edge : NULL,
                                        .keeps_place = true });
}

/* pre: the caller holds the lock.  SP__PARK_CHANGED: misuse, which has been named; the lock was not given up. */
static enum sp__parked wait_until(struct condition_wait *wait, int64_t deadline)
{
    enum sp__parked parked = sleep_on(wait, deadline);
    if (parked == SP__PARK_CHANGED) {
        (void)sp__condition_wake(wait->condition,
                                 0); /* nobody is woken, but a count left over by a fork is corrected */
        parked = sleep_on(wait, deadline);
    }
    if (parked == SP__PARK_CHANGED) {
        sp__panic("sp_condition_wait: others wait on the condition at %p with another lock", (void *)wait->condition);
        return SP__PARK_CHANGED;
    }
    take_lock_back(wait);
    return parked;
}

static bool holds_lock(const sp_lock *lock, const sp_condition *condition)
{
    if (sp__lock_word_owner(&lock->sp_word_) == sp__self()->id)
        return true;
    sp__panic("sp_condition_wait: waiting on the condition at %p without holding the lock at %p",
              (const void *)condition, (const void *)lock);
    return false;
}

bool sp__condition_wait_until(sp_condition *condition, sp_lock *lock, int64_t deadline)
{
    struct condition_wait wait = { .condition = condition, .lock = lock };
    return holds_lock(lock, condition) && wait_until(&wait, deadline) == SP__PARK_GRANTED;
}

bool sp__condition_wait_by(sp_condition *condition, sp_lock *lock, int64_t deadline, struct sp__edge *edge)
{
    struct condition_wait wait = { .condition = condition, .lock = lock, .edge = edge };
    return !holds_lock(lock, condition) || wait_until(&wait, deadline) != SP__PARK_DEADLOCK;
}

bool sp_condition_wait(sp_condition *condition, sp_lock *lock, double timeout)
{
    return sp__condition_wait_until(condition, lock, sp__deadline(timeout));
}

bool sp_condition_wait_rlock(sp_condition *condition, sp_rlock *lock, double timeout)
{
    struct condition_wait wait = { .condition = condition, .rlock = lock };
    if (!sp_rlock_is_owned(lock)) {
        sp__panic("sp_condition_wait_rlock: waiting on the condition at %p without holding the lock at %p",
                  (void *)condition, (void *)lock);
        return false;
    }
    return wait_until(&wait, sp__deadline(timeout)) == SP__PARK_GRANTED;
}

bool sp_condition_wait_for(sp_condition *condition, sp_lock *lock, bool (*predicate)(void *context), void *context,
                           double timeout)
{
    struct condition_wait wait = { .condition = condition, .lock = lock };
    int64_t deadline = sp__deadline(timeout);
    while (holds_lock(lock, condition)) { /* asked again: the predicate is the user's */
        if (predicate(context))
            return true;
        if (sp__deadline_passed(deadline) || wait_until(&wait, deadline) == SP__PARK_CHANGED)
            return false;
    }
    return false;
}

void sp_condition_notify(sp_condition *condition, unsigned n)
{
    /* acquire: a waiter that is visible by any other means is counted here too */
    if (n > 0 && sp__load_acquire(&condition->sp_word_) != 0)
        (void)sp__condition_wake(condition, n);
}

void sp_condition_notify_all(sp_condition *condition)
{
    /* acquire: as in sp_condition_notify */
    if (sp__load_acquire(&condition->sp_word_) != 0)
        (void)sp__condition_wake(condition, SIZE_MAX);
}
