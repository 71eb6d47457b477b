/* Semaphore, event, condition, once.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

enum { MOST_THREADS = 8 };

/* A group of threads with one shared object; each test fills in what it needs. */
struct shared {
    sp_lock lock;
    sp_rlock rlock;
    sp_condition condition;
    sp_semaphore semaphore;
    sp_event event;
    sp_once once;
    long rounds;
    uint64_t seed;
    uint32_t next;    /* atomic; hands out numbers */
    uint32_t inside;  /* atomic */
    uint32_t peak;    /* atomic */
    uint32_t entered; /* atomic; how many threads are about to wait, or wait */
    uint32_t left;    /* atomic */
    long counter;
};

static void run(struct shared *shared, int n, void *(*body)(void *), pthread_t threads[])
{
    for (int i = 0; i < n; i++)
        threads[i] = test_thread(body, shared);
}

static void join(int n, pthread_t threads[])
{
    for (int i = 0; i < n; i++)
        test_join(threads[i]);
}

/* ---- semaphore ---- */

static void *enter_and_leave(void *arg)
{
    struct shared *shared = arg;
    uint64_t random = shared->seed + sp__add_relaxed(&shared->next, 1);
    for (long i = 0; i < shared->rounds; i++) {
        if (test_random(&random) % 2)
            sp_semaphore_acquire(&shared->semaphore);
        else
            while (!sp_semaphore_acquire_timeout(&shared->semaphore, (double)(test_random(&random) % 100) * 1e-6))
                continue;
        uint32_t now = sp__add_seq_cst(&shared->inside, 1) + 1, peak = sp__load_relaxed(&shared->peak);
        while (now > peak && !sp__cas_relaxed(&shared->peak, &peak, now))
            continue;
        if (test_random(&random) % 16 == 0)
            sched_yield();
        sp__sub_seq_cst(&shared->inside, 1);
        assert_int_equal(sp_semaphore_release(&shared->semaphore, 1), SP_OK);
    }
    return NULL;
}

static void semaphore_of_3_is_never_exceeded(void **state)
{
    (void)state;
    struct shared shared = { .semaphore = SP_BOUNDED_SEMAPHORE(3), .rounds = test_count(5000), .seed = test_seed() };
    pthread_t threads[MOST_THREADS];
    sp__fault_spurious(shared.seed, 100);
    run(&shared, MOST_THREADS, enter_and_leave, threads);
    join(MOST_THREADS, threads);
    sp__fault_spurious(0, 0);
    assert_true(shared.peak <= 3);
    for (int i = 0; i < 3; i++)
        assert_true(sp_semaphore_acquire_timeout(&shared.semaphore, SP_NOWAIT));
    assert_false(sp_semaphore_acquire_timeout(&shared.semaphore, SP_NOWAIT));
}

static void semaphore_acquire_timeout_is_false_when_the_time_is_up(void **state)
{
    (void)state;
    sp_semaphore semaphore = SP_SEMAPHORE(0);
    double begin = sp_monotonic();
    assert_false(sp_semaphore_acquire_timeout(&semaphore, 0.01));
    assert_true(sp_monotonic() - begin >= 0.01);
    assert_false(sp_semaphore_acquire_timeout(&semaphore, strtod("nan", NULL)));
    assert_int_equal(semaphore.sp_word_, 0); /* nobody is counted as a sleeper any more */
}

static void semaphore_release_value_error(void **state)
{
    (void)state;
    sp_semaphore bounded = SP_BOUNDED_SEMAPHORE(2), full = SP_SEMAPHORE(UINT32_MAX), plain = SP_SEMAPHORE(0);
    assert_int_equal(sp_semaphore_release(&bounded, 1), SP_VALUE_ERROR);
    sp_semaphore_acquire(&bounded);
    assert_int_equal(sp_semaphore_release(&bounded, 2), SP_VALUE_ERROR);
    assert_int_equal(sp_semaphore_release(&bounded, 0), SP_VALUE_ERROR);
    assert_int_equal(sp_semaphore_release(&bounded, 1), SP_OK);
    assert_int_equal(sp_semaphore_release(&full, 1), SP_VALUE_ERROR);
    assert_int_equal(sp_semaphore_release(&plain, UINT32_MAX), SP_OK);
    assert_int_equal(sp_semaphore_release(&plain, 1), SP_VALUE_ERROR);
}

static void *take_one(void *arg)
{
    struct shared *shared = arg;
    sp__add_seq_cst(&shared->entered, 1);
    sp_semaphore_acquire(&shared->semaphore);
    sp__add_seq_cst(&shared->left, 1);
    return NULL;
}

static uint32_t sleepers_of(const sp_semaphore *semaphore)
{
    return (uint32_t)(sp__load_acquire(&semaphore->sp_word_) >> 32);
}

static void semaphore_release_of_n_wakes_n(void **state)
{
    (void)state;
    struct shared shared = { .semaphore = SP_SEMAPHORE(0) };
    pthread_t threads[MOST_THREADS];
    run(&shared, 5, take_one, threads);
    test_await(sleepers_of(&shared.semaphore) == 5);
    assert_int_equal(sp_semaphore_release(&shared.semaphore, 3), SP_OK);
    test_await(sp__load_acquire(&shared.left) == 3);
    assert_int_equal(sleepers_of(&shared.semaphore), 2);
    assert_false(
        sp_semaphore_acquire_timeout(&shared.semaphore, SP_NOWAIT)); /* they were handed over, not left lying */
    assert_int_equal(sp_semaphore_release(&shared.semaphore, 4), SP_OK);
    join(5, threads);
    assert_true(sp_semaphore_acquire_timeout(&shared.semaphore, SP_NOWAIT));
    assert_true(sp_semaphore_acquire_timeout(&shared.semaphore, SP_NOWAIT));
    assert_false(sp_semaphore_acquire_timeout(&shared.semaphore, SP_NOWAIT));
}

static void *take_and_free(void *arg)
{
    sp_semaphore *semaphore = arg;
    sp_semaphore_acquire(semaphore);
    memset(semaphore, 0xff, sizeof *semaphore);
    free(semaphore);
    return NULL;
}

static void semaphore_is_freed_by_whom_it_wakes_while_release_is_inside(void **state)
{
    (void)state;
    for (long i = test_count(2000); i > 0; i--) {
        sp_semaphore *semaphore = calloc(1, sizeof *semaphore);
        pthread_t thread = test_thread(take_and_free, semaphore);
        for (long spin = i % 300 * 20; spin > 0; spin--)
            sp__cpu_relax();
        assert_int_equal(sp_semaphore_release(semaphore, 1), SP_OK);
        test_join(thread);
    }
}

/* ---- event ---- */

static void *wait_for_event(void *arg)
{
    struct shared *shared = arg;
    sp__add_seq_cst(&shared->entered, 1);
    assert_true(sp_event_wait(&shared->event, SP_FOREVER));
    sp__add_seq_cst(&shared->left, 1);
    return NULL;
}

static void event_wait_is_false_when_the_time_is_up(void **state)
{
    (void)state;
    sp_event event = { 0 };
    double begin = sp_monotonic();
    assert_false(sp_event_wait(&event, 0.01));
    assert_true(sp_monotonic() - begin >= 0.01);
    assert_false(sp_event_wait(&event, SP_NOWAIT));
    assert_false(sp_event_wait(&event, strtod("nan", NULL)));
    sp_event_set(&event);
    assert_true(sp_event_is_set(&event));
    assert_true(sp_event_wait(&event, SP_NOWAIT));
    sp_event_clear(&event);
    assert_false(sp_event_is_set(&event));
    assert_false(sp_event_wait(&event, 0));
}

static void *wait_for_pulse(void *arg)
{
    struct shared *shared = arg;
    for (long i = 0; i < shared->rounds; i++) {
        sp__add_seq_cst(&shared->entered, 1);
        assert_true(sp_event_wait(&shared->event, SP_FOREVER));
    }
    sp__add_seq_cst(&shared->left, 1);
    return NULL;
}

static void set_and_clear_in_a_row_release_everyone_who_waits(void **state)
{
    (void)state;
    struct shared shared = { .rounds = test_count(2000) };
    pthread_t threads[4];
    sp__fault_spurious(test_seed(), 100);
    run(&shared, 4, wait_for_pulse, threads);
    while (sp__load_acquire(&shared.left) < 4) { /* a pulse that came before the wait is repeated, none in it is lost */
        sp_event_set(&shared.event);
        sp_event_clear(&shared.event);
    }
    join(4, threads);
    sp__fault_spurious(0, 0);
}

static void one_set_releases_all(void **state)
{
    (void)state;
    for (long i = test_count(200); i > 0; i--) {
        struct shared shared = { 0 };
        pthread_t threads[MOST_THREADS];
        run(&shared, MOST_THREADS, wait_for_event, threads);
        sp_event_set(&shared.event);
        join(MOST_THREADS, threads);
    }
}

/* ---- condition ---- */

static uint64_t waiters_of(sp_condition *condition)
{
    return sp__load_acquire(&condition->sp_word_);
}

static void *wait_for_notify(void *arg)
{
    struct shared *shared = arg;
    sp_lock_acquire(&shared->lock);
    assert_true(sp_condition_wait(&shared->condition, &shared->lock, SP_FOREVER));
    shared->counter++;
    sp_lock_release(&shared->lock);
    return NULL;
}

static long counter_of(struct shared *shared)
{
    sp_lock_acquire(&shared->lock);
    long counter = shared->counter;
    sp_lock_release(&shared->lock);
    return counter;
}

static void notify_wakes_exactly_n(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    pthread_t threads[5];
    sp__fault_spurious(test_seed(), 300);
    run(&shared, 5, wait_for_notify, threads);
    test_await(waiters_of(&shared.condition) == 5);
    sp_condition_notify(&shared.condition, 0);
    assert_int_equal(waiters_of(&shared.condition), 5);
    sp_condition_notify(&shared.condition, 2); /* without the lock */
    test_await(counter_of(&shared) == 2);
    assert_int_equal(waiters_of(&shared.condition), 3);
    sp_lock_acquire(&shared.lock);
    sp_condition_notify(&shared.condition, 1);
    assert_int_equal(shared.counter, 2); /* it needs the lock to go on */
    sp_lock_release(&shared.lock);
    test_await(counter_of(&shared) == 3);
    sp_condition_notify_all(&shared.condition);
    join(5, threads);
    sp_condition_notify(&shared.condition, 9);
    sp_condition_notify_all(&shared.condition);
    sp__fault_spurious(0, 0);
    assert_int_equal(shared.counter, 5);
}

static void condition_wait_is_false_when_the_time_is_up_and_holds_the_lock(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    sp_lock_acquire(&shared.lock);
    double begin = sp_monotonic();
    assert_false(sp_condition_wait(&shared.condition, &shared.lock, 0.01));
    assert_true(sp_monotonic() - begin >= 0.01);
    assert_false(sp_condition_wait(&shared.condition, &shared.lock, SP_NOWAIT));
    assert_true(sp_lock_locked(&shared.lock));
    sp_lock_release(&shared.lock);
    assert_int_equal(waiters_of(&shared.condition), 0);
}

static void *wait_rlock(void *arg)
{
    struct shared *shared = arg;
    for (int i = 0; i < 3; i++)
        sp_rlock_acquire(&shared->rlock);
    assert_true(sp_condition_wait_rlock(&shared->condition, &shared->rlock, SP_FOREVER));
    for (int i = 0; i < 3; i++) {
        assert_true(sp_rlock_is_owned(&shared->rlock));
        sp_rlock_release(&shared->rlock);
    }
    assert_false(sp_rlock_is_owned(&shared->rlock));
    return NULL;
}

static void condition_gives_up_all_levels_of_a_reentrant_lock(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    pthread_t thread = test_thread(wait_rlock, &shared);
    test_await(waiters_of(&shared.condition) == 1);
    sp_rlock_acquire(&shared.rlock); /* would hang if a level had stayed */
    sp_condition_notify(&shared.condition, 1);
    sp_rlock_release(&shared.rlock);
    test_join(thread);
}

static bool counter_is_3(void *context)
{
    return ((struct shared *)context)->counter == 3;
}

static void *raise_counter(void *arg)
{
    struct shared *shared = arg;
    for (int i = 0; i < 3; i++) {
        sp_lock_acquire(&shared->lock);
        shared->counter++;
        sp_condition_notify_all(&shared->condition);
        sp_lock_release(&shared->lock);
    }
    return NULL;
}

static void wait_for_returns_the_predicate(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    sp_lock_acquire(&shared.lock);
    assert_false(sp_condition_wait_for(&shared.condition, &shared.lock, counter_is_3, &shared, 0.005));
    pthread_t thread = test_thread(raise_counter, &shared);
    assert_true(sp_condition_wait_for(&shared.condition, &shared.lock, counter_is_3, &shared, SP_FOREVER));
    assert_true(sp_condition_wait_for(&shared.condition, &shared.lock, counter_is_3, &shared, SP_NOWAIT));
    sp_lock_release(&shared.lock);
    test_join(thread);
}

/* Each notify(1) that found a waiter is answered by exactly one true wait, whatever the time-outs do. */
static void *wait_with_timeouts(void *arg)
{
    struct shared *shared = arg;
    uint64_t random = shared->seed + sp__add_relaxed(&shared->next, 1);
    for (long i = 0; i < shared->rounds; i++) {
        sp_lock_acquire(&shared->lock);
        if (sp_condition_wait(&shared->condition, &shared->lock, (double)(test_random(&random) % 100) * 1e-6))
            shared->counter++;
        sp_lock_release(&shared->lock);
    }
    sp__add_seq_cst(&shared->left, 1);
    return NULL;
}

static void notify_against_timeout_loses_and_invents_nothing(void **state)
{
    (void)state;
    struct shared shared = { .rounds = test_count(5000), .seed = test_seed() };
    pthread_t threads[3];
    long notified = 0;
    sp__fault_spurious(shared.seed, 100);
    run(&shared, 3, wait_with_timeouts, threads);
    while (sp__load_acquire(&shared.left) < 3) {
        sp_lock_acquire(&shared.lock);
        uint64_t before = waiters_of(&shared.condition);
        sp_condition_notify(&shared.condition, 1);
        /* Time-outs may lower the count in between, notifications only by one. */
        if (before > 0 && waiters_of(&shared.condition) < before)
            notified++;
        sp_lock_release(&shared.lock);
    }
    join(3, threads);
    sp__fault_spurious(0, 0);
    printf("notified at most %ld, woken %ld\n", notified, shared.counter);
    assert_true(shared.counter <= notified);
    assert_int_equal(waiters_of(&shared.condition), 0);
}

static char said[512];

static void note(const char *sentence, void *context)
{
    (void)context;
    snprintf(said, sizeof said, "%s", sentence);
}

static void condition_misuse_is_named(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    sp_lock other = { 0 };
    sp_set_panic_hook(note, NULL);
    assert_false(sp_condition_wait(&shared.condition, &shared.lock, 0.001));
    assert_non_null(strstr(said, "without holding the lock"));
    said[0] = '\0';
    assert_false(sp_condition_wait_rlock(&shared.condition, &shared.rlock, 0.001));
    assert_non_null(strstr(said, "without holding the lock"));
    pthread_t thread = test_thread(wait_for_notify, &shared);
    test_await(waiters_of(&shared.condition) == 1);
    sp_lock_acquire(&other);
    assert_false(sp_condition_wait(&shared.condition, &other, 0.001));
    assert_non_null(strstr(said, "with another lock"));
    assert_true(sp_lock_locked(&other));
    sp_lock_release(&other);
    sp_set_panic_hook(NULL, NULL);
    sp_condition_notify(&shared.condition, 1);
    test_join(thread);
}

/* ---- once ---- */

static void initialise(void *context)
{
    struct shared *shared = context;
    sched_yield();
    shared->counter++; /* not atomic: once orders it */
}

static void *call_once_and_look(void *arg)
{
    struct shared *shared = arg;
    sp_once_call(&shared->once, initialise, shared);
    assert_int_equal(shared->counter, 1);
    return NULL;
}

static void once_runs_once_and_all_see_it(void **state)
{
    (void)state;
    for (long i = test_count(300); i > 0; i--) {
        struct shared shared = { 0 };
        pthread_t threads[MOST_THREADS];
        run(&shared, MOST_THREADS, call_once_and_look, threads);
        join(MOST_THREADS, threads);
        assert_int_equal(shared.counter, 1);
    }
}

/* ---- a notification under the lock ---- */

struct notified {
    sp_lock lock;
    sp_condition condition;
    sp_event woken;
    bool true_for_me;
};

static void *wait_and_tell(void *arg)
{
    struct notified *notified = arg;
    sp_lock_acquire(&notified->lock);
    bool told = sp_condition_wait(&notified->condition, &notified->lock, SP_FOREVER);
    notified->true_for_me = told;
    sp_lock_release(&notified->lock);
    sp_event_set(&notified->woken);
    return NULL;
}

/* The waiter is woken by the release of who notified it, or when that one sleeps, in whatever way it does. */
static void a_notification_under_the_lock_arrives_with_its_release(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        struct notified notified = { .true_for_me = false };
        pthread_t waiter = test_thread(wait_and_tell, &notified);
        test_await(__atomic_load_n(&notified.condition.sp_word_, __ATOMIC_ACQUIRE) == 1);
        sp_lock_acquire(&notified.lock);
        sp_condition_notify(&notified.condition, 1);
        assert_false(sp_event_is_set(&notified.woken));
        if (way == 1)
            sp_sleep(0.001); /* itself goes to sleep, still holding the lock */
        if (way == 2)
            assert_false(sp_condition_wait(&notified.condition, &notified.lock, 0.001));
        if (way == 3)
            assert_false(sp_event_wait(&notified.woken, 0.001));
        sp_lock_release(&notified.lock);
        assert_true(sp_event_wait(&notified.woken, SP_FOREVER));
        assert_true(notified.true_for_me);
        test_join(waiter);
        assert_int_equal(notified.lock.sp_word_, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(semaphore_of_3_is_never_exceeded),
        cmocka_unit_test(semaphore_acquire_timeout_is_false_when_the_time_is_up),
        cmocka_unit_test(semaphore_release_value_error),
        cmocka_unit_test(semaphore_release_of_n_wakes_n),
        cmocka_unit_test(semaphore_is_freed_by_whom_it_wakes_while_release_is_inside),
        cmocka_unit_test(event_wait_is_false_when_the_time_is_up),
        cmocka_unit_test(set_and_clear_in_a_row_release_everyone_who_waits),
        cmocka_unit_test(one_set_releases_all),
        cmocka_unit_test(notify_wakes_exactly_n),
        cmocka_unit_test(condition_wait_is_false_when_the_time_is_up_and_holds_the_lock),
        cmocka_unit_test(condition_gives_up_all_levels_of_a_reentrant_lock),
        cmocka_unit_test(wait_for_returns_the_predicate),
        cmocka_unit_test(notify_against_timeout_loses_and_invents_nothing),
        cmocka_unit_test(condition_misuse_is_named),
        cmocka_unit_test(once_runs_once_and_all_see_it),
        cmocka_unit_test(a_notification_under_the_lock_arrives_with_its_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
