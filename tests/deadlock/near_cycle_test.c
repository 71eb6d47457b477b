/* What looks like a cycle of waits and is none is never reported: locks in any order with time-outs, in one order without,
   joins and futures in between, owners that keep a lock so long that waiters become heirs.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <stdbool.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

enum { THREADS = 4, LOCKS = 4 };

static struct {
    sp_lock lock;
    sp_rlock rlock;
} things[LOCKS];
static sp_executor *pool;
static uint64_t seed;
static uint32_t reports; /* atomic */
static uint32_t refused; /* atomic; waits that were taken for a deadlock */
static uint32_t starved; /* atomic; how often a lock was seen with the mark of an heir */
static uint32_t missed;  /* atomic; time-outs that passed: near-cycles that were let go */

static void note(const char *report, void *context)
{
    (void)context;
    sp__add_relaxed(&reports, 1);
    fprintf(stderr, "reported: %s\n", report); /* then the process aborts */
}

/* Keep what is held for longer than a waiter is patient. */
static void linger(void)
{
    double end = sp_monotonic() + 1.5e-3;
    while (sp_monotonic() < end)
        sp__cpu_relax();
}

static void lock(int k, bool reentrant)
{
    if (reentrant)
        sp_rlock_acquire(&things[k].rlock);
    else
        sp_lock_acquire(&things[k].lock);
}

static bool lock_soon(int k, bool reentrant, double timeout)
{
    bool acquired = reentrant ? sp_rlock_acquire_timeout(&things[k].rlock, timeout)
                              : sp_lock_acquire_timeout(&things[k].lock, timeout);
    if (!acquired)
        sp__add_relaxed(&missed, 1);
    return acquired;
}

static void unlock(int k, bool reentrant)
{
    if (!reentrant && (sp__load_relaxed(&things[k].lock.sp_word_) & UINT64_C(1) << 62))
        sp__add_relaxed(&starved, 1);
    if (reentrant)
        sp_rlock_release(&things[k].rlock);
    else
        sp_lock_release(&things[k].lock);
}

static double little(uint64_t *random)
{
    return (double)(test_random(random) % 200) * 1e-6;
}

/* Only waits with a time limit. */
static sp_status visit(const uint64_t *in, sp_none *out)
{
    uint64_t random = *in;
    int k = (int)(test_random(&random) % LOCKS);
    bool reentrant = test_random(&random) % 2;
    (void)out;
    if (lock_soon(k, reentrant, little(&random)))
        unlock(k, reentrant);
    return SP_OK;
}
SP_TASK(visit, uint64_t, sp_none);

/* Wait without limit, holding a lock, for somebody who wants it but not for long. */
static void wait_for_visit(bool of_thread, uint64_t *random)
{
    sp_status status = SP_OK;
    if (of_thread) {
        sp_auto(sp_thread) thread = sp_start(visit, test_random(random));
        if (thread != NULL)
            status = sp_join(thread, NULL, SP_FOREVER);
    } else {
        sp_auto(sp_future) future = sp_submit(pool, visit, test_random(random));
        status = sp_result(future, NULL, SP_FOREVER);
    }
    if (status != SP_OK)
        sp__add_relaxed(&refused, 1);
}

static void meet(uint64_t *random)
{
    int outer = (int)(test_random(random) % LOCKS),
        inner = (int)((unsigned)outer + 1 + test_random(random) % (LOCKS - 1)) % LOCKS;
    uint64_t dice = test_random(random) % 256;
    bool kind = test_random(random) % 2, ordered = outer < inner && test_random(random) % 2;
    lock(outer, kind);
    if (dice < 2)
        linger();
    else if (dice < 4)
        wait_for_visit(dice == 2, random);
    else if (dice < 128)
        sched_yield(); /* let the others take what we want next, and want what we have */
    bool both = ordered;
    if (ordered)
        lock(inner, kind);
    else
        both = lock_soon(inner, kind, test_random(random) % 4 == 0 ? SP_NOWAIT : little(random));
    if (both)
        unlock(inner, kind);
    unlock(outer, kind);
}

static sp_status meet_often(const long *in, sp_none *out)
{
    static uint32_t next; /* atomic */
    uint64_t random = seed + sp__add_relaxed(&next, 1);
    (void)out;
    for (long i = 0; i < *in; i++)
        meet(&random);
    return SP_OK;
}
SP_TASK(meet_often, long, sp_none);

static void what_is_no_cycle_is_never_reported(void **state)
{
    (void)state;
    seed = test_seed();
    long rounds = test_count(getenv("SPOOL_SOAK") != NULL ? 100000 : 20000) / THREADS + 1; /* soak: a million in all */
    sp_thread *threads[THREADS];
    sp_set_deadlock_hook(note, NULL);
    sp__fault_spurious(seed, 20);
    pool = sp_thread_pool(.max_workers = 2);
    for (int i = 0; i < THREADS; i++)
        threads[i] = sp_start(meet_often, rounds);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(sp_join(threads[i], NULL, SP_FOREVER), SP_OK);
        sp_thread_release(threads[i]);
    }
    sp__fault_spurious(0, 0);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    sp_set_deadlock_hook(NULL, NULL);
    printf("%ld rounds, %u time-outs, %u releases to an heir\n", rounds * THREADS, missed, starved);
    assert_int_equal(reports, 0);
    assert_int_equal(refused, 0);
    for (int k = 0; k < LOCKS; k++)
        assert_true(things[k].lock.sp_word_ == 0 && !sp_rlock_locked(&things[k].rlock));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_cycle_is_never_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
