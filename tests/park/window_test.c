/* Windows of the parking lot, held open: between the look and the sleep, between unlinking and waking, at the end of the time.

   SPDX-License-Identifier: MIT */
#include "window.h"

#include <sys/wait.h>

#include <spool.h>

/* ---- between the look at the object and the sleep ---- */

static void wait_for_event(void *context)
{
    assert_true(sp_event_wait(context, SP_FOREVER));
}

static void set_event(void *context)
{
    sp_event_set(context);
}

/* It stands there with its bucket locked: whoever sets the event sees that it is counted, and is about to sleep for the lock
   of the bucket when that comes free. */
static void a_change_between_counting_in_and_looking_is_seen(void **state)
{
    (void)state;
    sp_event event = { 0 };
    one sleeper, setter;
    struct pause *window = pause_at("park: counted in"), *locked_out = pause_at("word lock: taken");
    one_start(&sleeper, wait_for_event, &event);
    pause_await(window);
    one_start(&setter, set_event, &event);
    pause_await(locked_out);
    pause_end(window);
    one_end(&sleeper);
    pause_end(locked_out);
    one_end(&setter);
}

static void wake_in(const char *site)
{
    sp_event event = { 0 };
    one sleeper;
    struct pause *window = pause_at(site);
    one_start(&sleeper, wait_for_event, &event);
    pause_await(window);
    sp_event_set(&event);
    pause_end(window);
    one_end(&sleeper);
}

static void a_sleeper_that_is_woken_before_it_sleeps_does_not_sleep(void **state)
{
    (void)state;
    wake_in("park: linked");
    wake_in("park: awake");
    wake_in("park: asleep");
}

/* ---- the end of the time ---- */

struct attempt {
    sp_semaphore semaphore;
    double timeout;
    bool acquired;
};

static void try_to_acquire(void *context)
{
    struct attempt *attempt = context;
    attempt->acquired = sp_semaphore_acquire_timeout(&attempt->semaphore, attempt->timeout);
}

static void give_one(void *context)
{
    struct attempt *attempt = context;
    assert_int_equal(sp_semaphore_release(&attempt->semaphore, 1), SP_OK);
}

static bool is_free(sp_semaphore *semaphore)
{
    return sp_semaphore_acquire_timeout(semaphore, SP_NOWAIT);
}

static void a_grant_that_comes_with_the_end_of_the_time_counts(void **state)
{
    (void)state;
    struct attempt attempt = { .semaphore = SP_SEMAPHORE(0), .timeout = 0.001 };
    one sleeper;
    struct pause *window = pause_at("park: gives up");
    one_start(&sleeper, try_to_acquire, &attempt);
    pause_await(window);
    give_one(&attempt);
    pause_end(window);
    one_end(&sleeper);
    assert_true(attempt.acquired);
    assert_false(is_free(&attempt.semaphore));
}

/* The waker still has to write into the sleeper's record, which lies on the sleeper's stack. */
static void a_sleeper_whose_time_is_up_waits_for_the_waker_that_has_unlinked_it(void **state)
{
    (void)state;
    struct attempt attempt = { .semaphore = SP_SEMAPHORE(0), .timeout = 0.001 };
    one sleeper, waker;
    struct pause *late = pause_at("park: gives up"), *unlinked = pause_at("park: unlinked"),
                 *waits = pause_at("park: being woken");
    one_start(&sleeper, try_to_acquire, &attempt);
    pause_await(late);
    one_start(&waker, give_one, &attempt);
    pause_await(unlinked);
    pause_end(late);
    pause_end(waits);
    bunch_await_sleep(&sleeper);
    assert_int_equal(bunch_finished(&sleeper), 0);
    pause_end(unlinked);
    one_end(&sleeper);
    one_end(&waker);
    assert_true(attempt.acquired);
}

/* ---- a woken sleeper's record is gone ---- */

/* What lay on the stack below the caller is nonsense now. */
__attribute__((noinline)) static void scribble(void)
{
    unsigned char buffer[4096];
    memset(buffer, 0xff, sizeof buffer);
    __asm__ __volatile__("" : : "r"(buffer) : "memory"); /* it is written */
}

static void acquire_and_scribble(void *context)
{
    sp_semaphore_acquire(context);
    scribble();
}

static void give_two(void *context)
{
    assert_int_equal(sp_semaphore_release(context, 2), SP_OK);
}

static void a_waker_of_several_does_not_look_at_one_that_it_has_woken(void **state)
{
    (void)state;
    sp_semaphore semaphore = SP_SEMAPHORE(0);
    one first, second, waker;
    one_start_asleep(&first, acquire_and_scribble, &semaphore);
    one_start_asleep(&second, acquire_and_scribble, &semaphore);
    struct pause *woken = pause_at("park: woken");
    one_start(&waker, give_two, &semaphore);
    pause_await(woken);
    test_await(bunch_finished(&first) == 1);
    assert_int_equal(bunch_finished(&second), 0);
    pause_end(woken);
    one_end(&second);
    one_end(&waker);
    bunch_join(&first);
}

/* ---- a condition's lock ---- */

struct waiting {
    sp_lock lock;
    sp_condition condition;
    double timeout;
    bool notified;
};

static void wait_for_condition(void *context)
{
    struct waiting *waiting = context;
    SP_WITH(&waiting->lock)
    waiting->notified = sp_condition_wait(&waiting->condition, &waiting->lock, waiting->timeout);
}

/* Whoever gets the lock meets a waiter that is linked. */
static void the_lock_of_a_condition_is_held_until_the_waiter_is_linked(void **state)
{
    (void)state;
    struct waiting waiting = { .timeout = SP_FOREVER };
    one waiter;
    struct pause *linked = pause_at("park: linked");
    one_start(&waiter, wait_for_condition, &waiting);
    pause_await(linked);
    assert_false(sp_lock_acquire_timeout(&waiting.lock, SP_NOWAIT));
    sp_condition_notify(&waiting.condition, 1); /* without the lock, which is allowed */
    pause_end(linked);
    one_end(&waiter);
    assert_true(waiting.notified);
}

/* ---- fork ---- */

static int child_status(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* The bucket is locked in the parent by a thread that the child does not have, and counts a sleeper that is not there. */
static void a_fork_while_a_sleeper_is_counted_in_leaves_the_child_an_unlocked_bucket(void **state)
{
    (void)state;
    sp_event event = { 0 };
    one sleeper;
    struct pause *window = pause_at("park: counted in");
    one_start(&sleeper, wait_for_event, &event);
    pause_await(window);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm((unsigned)test_patience());
        bool waited = sp_event_wait(&event, 0.001);
        sp_event_set(&event);
        _exit(waited ? 1 : 0);
    }
    assert_int_equal(child_status(child), 0);
    pause_end(window);
    sp_event_set(&event);
    one_end(&sleeper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_between_counting_in_and_looking_is_seen),
        cmocka_unit_test(a_sleeper_that_is_woken_before_it_sleeps_does_not_sleep),
        cmocka_unit_test(a_grant_that_comes_with_the_end_of_the_time_counts),
        cmocka_unit_test(a_sleeper_whose_time_is_up_waits_for_the_waker_that_has_unlinked_it),
        cmocka_unit_test(a_waker_of_several_does_not_look_at_one_that_it_has_woken),
        cmocka_unit_test(the_lock_of_a_condition_is_held_until_the_waiter_is_linked),
        cmocka_unit_test(a_fork_while_a_sleeper_is_counted_in_leaves_the_child_an_unlocked_bucket),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
