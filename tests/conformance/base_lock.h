/* What holds for every lock.  lock_test.c and rlock_test.c say which one is tested, and include this.

   SPDX-License-Identifier: MIT */
#ifndef SP_TESTS_CONFORMANCE_BASE_LOCK_H
#define SP_TESTS_CONFORMANCE_BASE_LOCK_H

#include <math.h>
#include <string.h>

#include "conformance/bunch.h"

struct attempt {
    tested *lock;
    double timeout;
    bool acquired;
    double seconds;
};

static void attempt(void *context)
{
    struct attempt *attempt = context;
    double begin = sp_monotonic();
    attempt->acquired = tested_acquire_timeout(attempt->lock, attempt->timeout);
    attempt->seconds = sp_monotonic() - begin;
    if (attempt->acquired)
        tested_release(attempt->lock);
}

static struct attempt attempt_by_another(tested *lock, double timeout)
{
    struct attempt it = { .lock = lock, .timeout = timeout };
    bunch_of(1, attempt, &it);
    return it;
}

static void acquire_and_release(void *context)
{
    tested_acquire((tested *)context);
    tested_release((tested *)context);
}

static void a_held_lock_may_be_forgotten(void **state)
{
    (void)state;
    tested *lock = calloc(1, sizeof *lock), *other = calloc(1, sizeof *other);
    tested_acquire(lock);
    tested_acquire(other);
    memset(lock, 0, sizeof *lock); /* its memory becomes a new lock */
    assert_true(attempt_by_another(lock, SP_NOWAIT).acquired);
    assert_false(attempt_by_another(other, SP_NOWAIT).acquired);
    free(lock);
    free(other); /* still held */
}

static void acquire_and_release_again(void **state)
{
    (void)state;
    tested lock = { 0 };
    for (int i = 0; i < 3; i++) {
        tested_acquire(&lock);
        assert_false(attempt_by_another(&lock, SP_NOWAIT).acquired);
        tested_release(&lock);
        assert_true(attempt_by_another(&lock, SP_NOWAIT).acquired);
    }
}

static void a_try_gets_a_free_lock(void **state)
{
    (void)state;
    tested lock = { 0 };
    assert_true(tested_acquire_timeout(&lock, SP_NOWAIT));
    assert_true(tested_locked(&lock));
    tested_release(&lock);
    assert_false(tested_locked(&lock));
}

static void a_try_of_anothers_lock_is_false(void **state)
{
    (void)state;
    tested lock = { 0 };
    tested_acquire(&lock);
    assert_false(attempt_by_another(&lock, SP_NOWAIT).acquired);
    tested_release(&lock);
    assert_true(attempt_by_another(&lock, SP_NOWAIT).acquired);
}

static void five_wait_until_the_release_and_all_get_it(void **state)
{
    (void)state;
    tested lock = { 0 };
    struct bunch bunch;
    tested_acquire(&lock);
    bunch_start(&bunch, 5, acquire_and_release, &lock);
    bunch_await_sleep(&bunch);
    assert_int_equal(bunch_finished(&bunch), 0);
    tested_release(&lock);
    bunch_join(&bunch);
    assert_int_equal(bunch_finished(&bunch), 5);
    assert_false(tested_locked(&lock));
}

static void time_outs_of_every_kind(void **state)
{
    (void)state;
    tested lock = { 0 };
    const double good[] = { 5, SP_FOREVER, 1e100, INFINITY, SP_NOWAIT, -100 };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        double begin = sp_monotonic();
        assert_true(tested_acquire_timeout(&lock, good[i])); /* free: nobody waits */
        assert_true(sp_monotonic() - begin < 5);
        tested_release(&lock);
    }
    tested_acquire(&lock);
    struct attempt it = attempt_by_another(&lock, 0.1);
    assert_false(it.acquired);
    assert_true(it.seconds >= 0.1);
    assert_false(attempt_by_another(&lock, -100).acquired); /* where Python raises ValueError, the time is up */
    tested_release(&lock);
}

#define BASE_LOCK_TESTS                                                                                                \
    cmocka_unit_test(a_held_lock_may_be_forgotten), cmocka_unit_test(acquire_and_release_again),                       \
        cmocka_unit_test(a_try_gets_a_free_lock), cmocka_unit_test(a_try_of_anothers_lock_is_false),                   \
        cmocka_unit_test(five_wait_until_the_release_and_all_get_it), cmocka_unit_test(time_outs_of_every_kind)

#endif
