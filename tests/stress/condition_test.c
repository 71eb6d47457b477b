/* Conditions: what is notified arrives, once, whatever time-outs do; and signals to waiters that come and go.

   SPDX-License-Identifier: MIT */
#include "stress.h"

#include <spool.h>

#include "os/fault.h"
#include "sync/condition.h"

enum { WAITERS = 4, NOTIFIERS = 2 };

/* ---- notify against time-out ---- */

struct bout {
    sp_lock lock;
    sp_rlock rlock;
    bool is_rlock;
    sp_condition condition;
    long waits; /* of each waiter */
    uint64_t seed;
    uint32_t next;  /* atomic; numbers of the threads */
    uint32_t left;  /* atomic; waiters that have ended */
    long returned;  /* guarded by the lock: waits that returned true */
    long timed_out; /* guarded by the lock */
    uint64_t hits;  /* atomic; how many waiters the notifications met */
};

static void acquire(struct bout *bout)
{
    if (bout->is_rlock)
        sp_rlock_acquire(&bout->rlock);
    else
        sp_lock_acquire(&bout->lock);
}

static void release(struct bout *bout)
{
    if (bout->is_rlock)
        sp_rlock_release(&bout->rlock);
    else
        sp_lock_release(&bout->lock);
}

static bool wait_for(struct bout *bout, double timeout)
{
    if (bout->is_rlock)
        return sp_condition_wait_rlock(&bout->condition, &bout->rlock, timeout);
    return sp_condition_wait(&bout->condition, &bout->lock, timeout);
}

static void *wait_again_and_again(void *arg)
{
    struct bout *bout = arg;
    uint64_t random = bout->seed + sp__add_relaxed(&bout->next, 1);
    for (long i = 0; i < bout->waits; i++) {
        acquire(bout);
        if (wait_for(bout, (double)(test_random(&random) % 150) * 1e-6))
            bout->returned++;
        else
            bout->timed_out++;
        release(bout);
    }
    sp__add_seq_cst(&bout->left, 1);
    return NULL;
}

/* sp__condition_wake is sp_condition_notify with an answer: how many it met. */
static void *notify_again_and_again(void *arg)
{
    struct bout *bout = arg;
    uint64_t random = bout->seed + sp__add_relaxed(&bout->next, 1);
    while (sp__load_acquire(&bout->left) < WAITERS) {
        bool holds = stress_one_in(2, &random);
        size_t n = stress_one_in(8, &random) ? SIZE_MAX : 1 + test_random(&random) % 3;
        if (holds)
            acquire(bout);
        size_t met = sp__condition_wake(&bout->condition, n);
        if (holds)
            release(bout);
        stress_expect(met <= n && met <= WAITERS);
        sp__add_seq_cst(&bout->hits, met);
        for (uint64_t pauses = test_random(&random) % 64; pauses > 0; pauses--)
            stress_dawdle(&random);
    }
    return NULL;
}

static void fight(bool is_rlock)
{
    /* 4 x 5,000 waits as a rule, 10^6 with SPOOL_TEST_SCALE=5000 */
    struct bout bout = { .is_rlock = is_rlock, .waits = test_count(5000), .seed = test_seed() };
    pthread_t waiters[WAITERS], notifiers[NOTIFIERS];
    sp__fault_spurious(bout.seed, 100);
    for (int i = 0; i < WAITERS; i++)
        waiters[i] = test_thread(wait_again_and_again, &bout);
    for (int i = 0; i < NOTIFIERS; i++)
        notifiers[i] = test_thread(notify_again_and_again, &bout);
    for (int i = 0; i < WAITERS; i++)
        test_join(waiters[i]);
    for (int i = 0; i < NOTIFIERS; i++)
        test_join(notifiers[i]);
    sp__fault_spurious(0, 0);
    printf("%s: notified %ld, timed out %ld\n", is_rlock ? "sp_rlock" : "sp_lock", bout.returned, bout.timed_out);
    stress_assert_nothing_wrong();
    assert_int_equal(bout.returned, bout.hits);
    assert_int_equal(bout.returned + bout.timed_out, WAITERS * bout.waits);
    assert_true(bout.returned > 0 && bout.timed_out > 0);
    assert_int_equal(sp__condition_wake(&bout.condition, SIZE_MAX), 0);
}

static void as_many_waits_return_true_as_notifications_met_a_waiter(void **state)
{
    (void)state;
    fight(false);
    fight(true);
}

/* ---- a notification is a token, and tokens are not lost: the public calls alone ---- */

struct mint {
    sp_lock lock;
    sp_condition condition;
    uint64_t seed;
    uint32_t next; /* atomic; numbers of the threads */
    long to_mint;  /* guarded by the lock: tokens that are still to come */
    long untimed;  /* guarded by the lock: threads that wait without a limit */
    long owed;     /* guarded by the lock: notifications on their way to such a thread, if no other takes them */
    long taken;    /* guarded by the lock */
    bool over;     /* guarded by the lock */
};

/* Half of the waits have no limit.  A notification that a time-out swallowed would be owed for ever, and minting end. */
static void *take_tokens(void *arg)
{
    struct mint *mint = arg;
    uint64_t random = mint->seed + sp__add_relaxed(&mint->next, 1);
    sp_lock_acquire(&mint->lock);
    while (!mint->over) {
        bool untimed = stress_one_in(2, &random);
        mint->untimed += untimed;
        double timeout = untimed ? SP_FOREVER : (double)(test_random(&random) % 60) * 1e-6;
        bool notified = sp_condition_wait(&mint->condition, &mint->lock, timeout);
        stress_expect(notified || !untimed);
        mint->untimed -= untimed;
        if (notified && !mint->over) {
            mint->taken++;
            mint->owed--;
        }
    }
    sp_lock_release(&mint->lock);
    return NULL;
}

/* Notifies only when somebody waits without a limit who has no notification on its way: then it must meet somebody. */
static void *mint_tokens(void *arg)
{
    struct mint *mint = arg;
    uint64_t random = mint->seed + sp__add_relaxed(&mint->next, 1);
    bool more = true;
    while (more) {
        sp_lock_acquire(&mint->lock);
        if (mint->to_mint > 0 && mint->untimed > mint->owed) {
            mint->to_mint--;
            mint->owed++;
            sp_condition_notify(&mint->condition, 1);
        }
        more = mint->to_mint > 0;
        sp_lock_release(&mint->lock);
        stress_dawdle(&random);
    }
    return NULL;
}

static bool all_are_taken(struct mint *mint, long tokens)
{
    sp_lock_acquire(&mint->lock);
    bool all = mint->taken == tokens;
    sp_lock_release(&mint->lock);
    return all;
}

static void each_notification_is_taken_by_one_wait(void **state)
{
    (void)state;
    long tokens = test_count(20000); /* 10^6 with SPOOL_TEST_SCALE=5000 */
    struct mint mint = { .to_mint = tokens, .seed = test_seed() };
    pthread_t takers[WAITERS], minters[NOTIFIERS];
    for (int i = 0; i < WAITERS; i++)
        takers[i] = test_thread(take_tokens, &mint);
    for (int i = 0; i < NOTIFIERS; i++)
        minters[i] = test_thread(mint_tokens, &mint);
    for (int i = 0; i < NOTIFIERS; i++)
        test_join(minters[i]); /* would hang if a notification were lost */
    test_await(all_are_taken(&mint, tokens));
    sp_lock_acquire(&mint.lock);
    mint.over = true;
    assert_int_equal(mint.owed, 0);
    sp_condition_notify_all(&mint.condition);
    sp_lock_release(&mint.lock);
    for (int i = 0; i < WAITERS; i++)
        test_join(takers[i]);
    stress_assert_nothing_wrong();
    assert_int_equal(mint.taken, tokens); /* none was doubled */
}

/* ---- the pattern of glibc's bug 25847: a lock made of a flag and a condition, signalled after the lock was released;
   waiters come and go in groups, and one signal that is lost leaves everybody asleep ---- */

enum { RUNNERS = 8 };

struct master {
    sp_lock lock;
    sp_condition is_free;
    bool busy;        /* guarded by lock */
    uint32_t waiting; /* atomic, changed under lock */
    long waits;       /* guarded by lock: how often a wait ended */
    long wanted;      /* so many waits in all */
    long inside;      /* guarded by the master lock itself */
    uint64_t seed;
    uint32_t next; /* atomic; numbers of the threads */
};

static bool master_acquire(struct master *master)
{
    sp_lock_acquire(&master->lock);
    while (master->busy) {
        sp__add_seq_cst(&master->waiting, 1);
        stress_expect(sp_condition_wait(&master->is_free, &master->lock, SP_FOREVER));
        sp__sub_seq_cst(&master->waiting, 1);
        master->waits++;
    }
    master->busy = true;
    bool more = master->waits < master->wanted;
    sp_lock_release(&master->lock);
    return more;
}

static void master_release(struct master *master)
{
    sp_lock_acquire(&master->lock);
    master->busy = false;
    sp_lock_release(&master->lock);
    sp_condition_notify(&master->is_free, 1);
}

static void *run_under_master(void *arg)
{
    struct master *master = arg;
    uint64_t random = master->seed + sp__add_relaxed(&master->next, 1);
    for (bool more = true; more;) {
        more = master_acquire(master);
        stress_expect(master->inside++ == 0);
        if (sp__load_relaxed(&master->waiting) < RUNNERS - 1 && stress_one_in(4, &random))
            sched_yield(); /* let the group grow */
        master->inside--;
        master_release(master);
        if (stress_one_in(8, &random))
            stress_dawdle(&random);
    }
    return NULL;
}

static void signals_to_waiters_that_come_and_go_in_groups(void **state)
{
    (void)state;
    /* 10^5 pairs of signal and wait as a rule, 10^7 with SPOOL_TEST_SCALE=10000 */
    struct master master = { .wanted = test_count(100000), .seed = test_seed() };
    pthread_t runners[RUNNERS];
    for (int i = 0; i < RUNNERS; i++)
        runners[i] = test_thread(run_under_master, &master);
    for (int i = 0; i < RUNNERS; i++)
        test_join(runners[i]); /* would hang if a signal were lost */
    stress_assert_nothing_wrong();
    printf("waits: %ld\n", master.waits);
    assert_true(master.waits >= master.wanted);
    assert_int_equal(master.waiting, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_waits_return_true_as_notifications_met_a_waiter),
        cmocka_unit_test(each_notification_is_taken_by_one_wait),
        cmocka_unit_test(signals_to_waiters_that_come_and_go_in_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
