/* Marks and counts in the words of objects: what they say of those who sleep is right when somebody gives up.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "base/atomic.h"
#include "park/park.h"
#include "sync/lock_word.h"

#define OWES (UINT64_C(1) << 61)

/* ---- a lock whose owner has notified ---- */

static sp_lock lock;
static sp_condition condition;

static void *wait_to_be_notified(void *arg)
{
    sp_lock_acquire(&lock);
    assert_true(sp_condition_wait(&condition, &lock, SP_FOREVER));
    sp_lock_release(&lock);
    return arg;
}

/* Woken before, they would run into the lock and sleep again. */
static void whoever_is_notified_under_the_lock_is_woken_by_its_release(void **state)
{
    (void)state;
    pthread_t thread = test_thread(wait_to_be_notified, NULL);
    test_await(sp__park_maybe_waiters(&condition));
    sp_lock_acquire(&lock);
    sp_condition_notify(&condition, 1);
    assert_true(sp__load_acquire(&lock.sp_word_) & OWES);
    assert_false(sp__list_empty(&sp__self()->deferred));
    sp_lock_release(&lock);
    assert_true(sp__list_empty(&sp__self()->deferred));
    test_join(thread);
}

#define PARKED (UINT64_C(1) << 63)
#define HANDOFF (UINT64_C(1) << 62)

static bool is_marked(uint64_t mark)
{
    return sp__load_acquire(&lock.sp_word_) & mark;
}

static void *try_for_a_moment(void *arg)
{
    assert_false(sp_lock_acquire_timeout(&lock, 0.001));
    return arg;
}

static void *take_and_give(void *arg)
{
    sp_lock_acquire(&lock);
    sp_lock_release(&lock);
    return arg;
}

/* The release looks for sleepers only where the mark says so. */
static void whose_time_is_up_at_a_lock_leaves_the_mark_of_the_others(void **state)
{
    (void)state;
    sp_lock_acquire(&lock);
    test_join(test_thread(try_for_a_moment, NULL));
    assert_false(is_marked(PARKED));
    pthread_t other = test_thread(take_and_give, NULL);
    test_await(sp__park_maybe_waiters(&lock) && is_marked(PARKED));
    test_join(test_thread(try_for_a_moment, NULL));
    assert_true(is_marked(PARKED));
    sp_lock_release(&lock);
    test_join(other);
    assert_int_equal(lock.sp_word_, 0);
}

/* The thread that it is kept free for may have a lower priority, and no CPU. */
static void a_lock_is_not_kept_free_for_ever_for_one_that_does_not_come(void **state)
{
    (void)state;
    lock.sp_word_ = HANDOFF;
    sp_lock_acquire(&lock);
    assert_false(is_marked(HANDOFF));
    sp_lock_release(&lock);
    assert_int_equal(lock.sp_word_, 0);
}

static void a_reentrant_lock_that_was_got_in_time_is_given_up_as_others(void **state)
{
    (void)state;
    sp_rlock rlock = { 0 };
    assert_true(sp_rlock_acquire_timeout(&rlock, 1));
    assert_true(sp_rlock_acquire_timeout(&rlock, 1));
    sp_rlock_release(&rlock);
    assert_true(sp_rlock_is_owned(&rlock));
    sp_rlock_release(&rlock);
    assert_false(sp_rlock_locked(&rlock));
}

/* ---- events ---- */

static void *wait_for_event(void *event)
{
    assert_true(sp_event_wait(event, SP_FOREVER));
    return NULL;
}

/* It was set for a moment, and those who waited then go on. */
static void an_event_that_is_set_and_cleared_wakes_who_waited(void **state)
{
    (void)state;
    sp_event event = { 0 };
    pthread_t waiter = test_thread(wait_for_event, &event);
    test_await(sp__park_maybe_waiters(&event));
    sp_event_set(&event);
    sp_event_clear(&event);
    test_join(waiter);
    assert_false(sp_event_is_set(&event));
}

/* ---- semaphores ---- */

static uint32_t sleepers_of(const sp_semaphore *semaphore)
{
    return (uint32_t)(sp__load_acquire(&semaphore->sp_word_) >> 32);
}

static void *take_permit(void *semaphore)
{
    sp_semaphore_acquire(semaphore);
    return NULL;
}

static void whose_time_is_up_at_a_semaphore_is_not_counted_and_others_are(void **state)
{
    (void)state;
    sp_semaphore semaphore = SP_SEMAPHORE(0);
    assert_false(sp_semaphore_acquire_timeout(&semaphore, 0.0001));
    assert_int_equal(sleepers_of(&semaphore), 0);
    pthread_t other = test_thread(take_permit, &semaphore);
    test_await(sleepers_of(&semaphore) == 1);
    assert_false(sp_semaphore_acquire_timeout(&semaphore, 0.0001));
    assert_int_equal(sleepers_of(&semaphore), 1);
    assert_int_equal(sp_semaphore_release(&semaphore, 2), SP_OK);
    test_join(other);
    assert_int_equal(sp__load_acquire(&semaphore.sp_word_), 1); /* one for the sleeper, one is left */
}

/* ---- limits that wake-ups do not put off ---- */

static uint32_t is_over; /* atomic */

static bool never(void *context)
{
    (void)context;
    return false;
}

static void *wait_for_what_never_comes(void *arg)
{
    sp_lock_acquire(&lock);
    assert_false(sp_condition_wait_for(&condition, &lock, never, NULL, 0.05));
    sp_lock_release(&lock);
    sp__store_release(&is_over, 1);
    return arg;
}

static void notifications_do_not_make_a_limit_longer(void **state)
{
    (void)state;
    pthread_t thread = test_thread(wait_for_what_never_comes, NULL);
    test_await((sp_condition_notify_all(&condition), sp__load_acquire(&is_over)));
    test_join(thread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_is_notified_under_the_lock_is_woken_by_its_release),
        cmocka_unit_test(whose_time_is_up_at_a_lock_leaves_the_mark_of_the_others),
        cmocka_unit_test(a_lock_is_not_kept_free_for_ever_for_one_that_does_not_come),
        cmocka_unit_test(a_reentrant_lock_that_was_got_in_time_is_given_up_as_others),
        cmocka_unit_test(an_event_that_is_set_and_cleared_wakes_who_waited),
        cmocka_unit_test(whose_time_is_up_at_a_semaphore_is_not_counted_and_others_are),
        cmocka_unit_test(notifications_do_not_make_a_limit_longer),
    };
    return cmocka_run_group_tests_name("mark", tests, NULL, NULL);
}
