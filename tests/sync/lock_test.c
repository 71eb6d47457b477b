/* sp_lock and sp_rlock.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

static void is_ready_when_zeroed(void **state)
{
    (void)state;
    sp_lock lock;
    memset(&lock, 0, sizeof lock);
    assert_false(sp_lock_locked(&lock));
    sp_lock_acquire(&lock);
    assert_true(sp_lock_locked(&lock));
    sp_lock_release(&lock);
    assert_false(sp_lock_locked(&lock));
}

/* What a program has compiled in and what the library exports work on the same word. */
static void the_inline_part_and_the_call_are_one_lock(void **state)
{
    (void)state;
    void (*volatile acquire)(sp_lock *) = sp_lock_acquire, (*volatile release)(sp_lock *) = sp_lock_release;
    void (*volatile enter)(sp_rlock *) = sp_rlock_acquire, (*volatile leave)(sp_rlock *) = sp_rlock_release;
    sp_lock lock = { 0 };
    sp_rlock rlock = { 0 };
    for (int i = 0; i < 2; i++) {
        acquire(&lock);
        assert_int_equal(lock.sp_word_, sp_self_id_);
        i == 0 ? sp_lock_release(&lock) : release(&lock);
        sp_lock_acquire(&lock);
        release(&lock);
        assert_int_equal(lock.sp_word_, 0);
        enter(&rlock);
        sp_rlock_acquire(&rlock);
        assert_int_equal(rlock.sp_depth_, 2);
        leave(&rlock);
        assert_true(sp_rlock_is_owned(&rlock));
        i == 0 ? sp_rlock_release(&rlock) : leave(&rlock);
        assert_false(sp_rlock_locked(&rlock));
        sp_rlock_acquire(&rlock);
        enter(&rlock);
        sp_rlock_release(&rlock);
        leave(&rlock);
        assert_int_equal(rlock.sp_word_, 0);
    }
}

/* ---- mutual exclusion ---- */

struct shared {
    sp_lock lock;
    sp_rlock rlock;
    long counter; /* guarded by the lock under test; not atomic on purpose */
    long rounds;
    uint64_t seed;
    uint32_t next; /* atomic; numbers of threads */
};

static void *count_under_lock(void *arg)
{
    struct shared *shared = arg;
    for (long i = 0; i < shared->rounds; i++) {
        sp_lock_acquire(&shared->lock);
        shared->counter++;
        sp_lock_release(&shared->lock);
    }
    return NULL;
}

static void *count_under_rlock(void *arg)
{
    struct shared *shared = arg;
    for (long i = 0; i < shared->rounds; i++) {
        sp_rlock_acquire(&shared->rlock);
        sp_rlock_acquire(&shared->rlock);
        shared->counter++;
        sp_rlock_release(&shared->rlock);
        sp_rlock_release(&shared->rlock);
    }
    return NULL;
}

static void *count_with_timeouts(void *arg)
{
    struct shared *shared = arg;
    uint64_t random = shared->seed + sp__add_relaxed(&shared->next, 1);
    for (long done = 0; done < shared->rounds;) {
        double timeout = (double)(test_random(&random) % 50) * 1e-6;
        if (!sp_lock_acquire_timeout(&shared->lock, timeout))
            continue;
        if (test_random(&random) % 64 == 0)
            sched_yield(); /* let others run into it and give up */
        shared->counter++;
        done++;
        sp_lock_release(&shared->lock);
    }
    return NULL;
}

static void four_threads(void *(*body)(void *), long rounds)
{
    struct shared shared = { .rounds = test_count(rounds), .seed = test_seed() };
    pthread_t threads[4];
    sp__fault_spurious(shared.seed, 100);
    for (int i = 0; i < 4; i++)
        threads[i] = test_thread(body, &shared);
    for (int i = 0; i < 4; i++)
        test_join(threads[i]);
    sp__fault_spurious(0, 0);
    assert_int_equal(shared.counter, 4 * shared.rounds);
    assert_int_equal(shared.lock.sp_word_, 0); /* no mark stays behind */
    assert_false(sp_rlock_locked(&shared.rlock));
}

static void excludes(void **state)
{
    (void)state;
    four_threads(count_under_lock, 100000);
}

static void reentrant_lock_excludes(void **state)
{
    (void)state;
    four_threads(count_under_rlock, 50000);
}

static void excludes_with_timeouts(void **state)
{
    (void)state;
    four_threads(count_with_timeouts, 5000);
}

/* ---- a lock that its next owner frees ---- */

struct freed {
    sp_lock lock;
    uint32_t waiting; /* atomic */
};

static void *acquire_and_free(void *arg)
{
    struct freed *freed = arg;
    sp__store_release(&freed->waiting, 1);
    sp_lock_acquire(&freed->lock);
    sp_lock_release(&freed->lock);
    memset(freed, 0xff, sizeof *freed);
    free(freed);
    return NULL;
}

static void is_freed_by_its_next_owner_while_release_is_inside(void **state)
{
    (void)state;
    for (struct test_rounds rounds = test_rounds(2000); test_next_round(&rounds, true);) {
        struct freed *freed = calloc(1, sizeof *freed);
        sp_lock_acquire(&freed->lock);
        pthread_t thread = test_thread(acquire_and_free, freed);
        test_await(sp__load_acquire(&freed->waiting));
        for (long spin = rounds.begun % 300 * 20; spin > 0; spin--)
            sp__cpu_relax();
        sp_lock_release(&freed->lock);
        test_join(thread);
    }
}

/* ---- time-outs ---- */

static void *hold_until_told(void *arg)
{
    struct shared *shared = arg;
    sp_lock_acquire(&shared->lock);
    sp_rlock_acquire(&shared->rlock);
    sp__store_release(&shared->next, 1);
    test_await(sp__load_acquire(&shared->next) == 2);
    sp_rlock_release(&shared->rlock);
    sp_lock_release(&shared->lock);
    return NULL;
}

static void acquire_timeout_of_a_held_lock_is_false_when_the_time_is_up(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    pthread_t thread = test_thread(hold_until_told, &shared);
    test_await(sp__load_acquire(&shared.next) == 1);
    double begin = sp_monotonic();
    assert_false(sp_lock_acquire_timeout(&shared.lock, 0.02));
    assert_true(sp_monotonic() - begin >= 0.02);
    assert_false(sp_lock_acquire_timeout(&shared.lock, SP_NOWAIT));
    assert_false(sp_lock_acquire_timeout(&shared.lock, -1));
    assert_false(sp_lock_acquire_timeout(&shared.lock, strtod("nan", NULL)));
    assert_false(sp_rlock_acquire_timeout(&shared.rlock, 0.001));
    assert_false(sp_rlock_is_owned(&shared.rlock));
    assert_true(sp_rlock_locked(&shared.rlock));
    sp__store_release(&shared.next, 2);
    assert_true(sp_lock_acquire_timeout(&shared.lock, SP_FOREVER));
    sp_lock_release(&shared.lock);
    test_join(thread);
}

static void acquire_timeout_of_ones_own_lock_is_false(void **state)
{
    (void)state;
    sp_lock lock = { 0 };
    sp_lock_acquire(&lock);
    assert_false(sp_lock_acquire_timeout(&lock, SP_NOWAIT));
    assert_false(sp_lock_acquire_timeout(&lock, 0.005));
    sp_lock_release(&lock);
    assert_int_equal(lock.sp_word_, 0);
}

/* ---- reentrance ---- */

static void reentrant_lock_is_free_after_as_many_releases(void **state)
{
    (void)state;
    sp_rlock lock = { 0 };
    for (int i = 0; i < 5; i++)
        sp_rlock_acquire(&lock);
    assert_true(sp_rlock_acquire_timeout(&lock, SP_NOWAIT));
    for (int i = 0; i < 6; i++) {
        assert_true(sp_rlock_is_owned(&lock));
        sp_rlock_release(&lock);
    }
    assert_false(sp_rlock_is_owned(&lock));
    assert_false(sp_rlock_locked(&lock));
}

/* ---- misuse ---- */

static char said[512];

static void note(const char *sentence, void *context)
{
    (void)context;
    snprintf(said, sizeof said, "%s", sentence);
}

static void *release_both(void *arg)
{
    struct shared *shared = arg;
    said[0] = '\0';
    sp_lock_release(&shared->lock);
    assert_non_null(strstr(said, "held by somebody else"));
    said[0] = '\0';
    sp_rlock_release(&shared->rlock);
    assert_non_null(strstr(said, "not held by the caller"));
    return NULL;
}

static void release_of_what_is_not_yours_is_named_and_has_no_effect(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    sp_set_panic_hook(note, NULL);
    sp_lock_release(&shared.lock);
    assert_non_null(strstr(said, "is not held"));
    sp_lock_acquire(&shared.lock);
    sp_rlock_acquire(&shared.rlock);
    test_join(test_thread(release_both, &shared));
    assert_true(sp_lock_locked(&shared.lock));
    assert_true(sp_rlock_is_owned(&shared.rlock));
    sp_set_panic_hook(NULL, NULL);
    sp_lock_release(&shared.lock);
    sp_rlock_release(&shared.rlock);
}

/* Run `body` in a child, which must die by abort; what it wrote to standard error is left in `said`. */
static void dies_saying(void (*body)(void), const char *words)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        body();
        _exit(0);
    }
    close(ends[1]);
    size_t size = 0;
    for (ssize_t got; (got = read(ends[0], said + size, sizeof said - 1 - size)) > 0;)
        size += (size_t)got;
    said[size] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(said, words));
}

static void acquire_twice(void)
{
    sp_lock lock = { 0 };
    sp_lock_acquire(&lock);
    sp_lock_acquire(&lock);
}

static void release_free_lock(void)
{
    sp_lock lock = { 0 };
    sp_lock_release(&lock);
}

static void acquire_of_ones_own_lock_is_reported_and_aborts(void **state)
{
    (void)state;
    dies_saying(acquire_twice, "which it holds itself");
}

static void misuse_aborts_by_default(void **state)
{
    (void)state;
    dies_saying(release_free_lock, "is not held");
}

/* ---- scopes ---- */

static bool leaves_early(sp_lock *lock)
{
    SP_HOLD(lock);
    return sp_lock_locked(lock);
}

static void hold_and_with_release_at_the_end_of_the_block(void **state)
{
    (void)state;
    sp_lock lock = { 0 };
    sp_rlock rlock = { 0 };
    assert_true(leaves_early(&lock));
    assert_false(sp_lock_locked(&lock));
    int trips = 0;
    SP_WITH(&lock)
    {
        assert_true(sp_lock_locked(&lock));
        SP_WITH(&rlock)
        {
            trips++;
            break;
        }
        assert_false(sp_rlock_locked(&rlock));
    }
    assert_int_equal(trips, 1);
    assert_false(sp_lock_locked(&lock));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_ready_when_zeroed),
        cmocka_unit_test(the_inline_part_and_the_call_are_one_lock),
        cmocka_unit_test(acquire_of_ones_own_lock_is_reported_and_aborts),
        cmocka_unit_test(misuse_aborts_by_default),
        cmocka_unit_test(excludes),
        cmocka_unit_test(reentrant_lock_excludes),
        cmocka_unit_test(excludes_with_timeouts),
        cmocka_unit_test(is_freed_by_its_next_owner_while_release_is_inside),
        cmocka_unit_test(acquire_timeout_of_a_held_lock_is_false_when_the_time_is_up),
        cmocka_unit_test(acquire_timeout_of_ones_own_lock_is_false),
        cmocka_unit_test(reentrant_lock_is_free_after_as_many_releases),
        cmocka_unit_test(release_of_what_is_not_yours_is_named_and_has_no_effect),
        cmocka_unit_test(hold_and_with_release_at_the_end_of_the_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
