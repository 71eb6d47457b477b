/* Windows of event, semaphore, once and lock, held open: another thread does the opposite in between.

   SPDX-License-Identifier: MIT */
#include "window.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"

/* ---- event ---- */

struct event_wait {
    sp_event *event;
    double timeout;
    bool seen;
};

static void wait_for_event(void *context)
{
    struct event_wait *wait = context;
    wait->seen = sp_event_wait(wait->event, wait->timeout);
}

static void set_event(void *context)
{
    sp_event_set(context);
}

/* Who sees it set frees it: the call that has set it does not look at it any more. */
static void who_comes_when_an_event_is_set_goes_on_at_once_and_may_free_it(void **state)
{
    (void)state;
    sp_event *event = page_new();
    struct event_wait wait = { event, SP_FOREVER, false };
    one setter, waiter;
    struct pause *window = pause_at("event: set");
    one_start(&setter, set_event, event);
    pause_await(window);
    one_start(&waiter, wait_for_event, &wait);
    one_end(&waiter);
    assert_true(wait.seen);
    page_free(event);
    pause_end(window);
    one_end(&setter);
}

/* A set that is cleared again, at that place of a wait, has set it all the same. */
static void set_and_clear_in(const char *site, double timeout)
{
    sp_event event = { 0 };
    struct event_wait wait = { &event, timeout, false };
    one waiter;
    struct pause *window = pause_at(site);
    one_start(&waiter, wait_for_event, &wait);
    pause_await(window);
    sp_event_set(&event);
    sp_event_clear(&event);
    pause_end(window);
    one_end(&waiter);
    assert_true(wait.seen);
}

static void an_event_that_is_set_and_cleared_meanwhile_was_set(void **state)
{
    (void)state;
    set_and_clear_in("event: not set", SP_FOREVER);
    set_and_clear_in("event: not set", 0.001);
    set_and_clear_in("park: asleep", SP_FOREVER);
}

static void an_event_that_is_set_with_the_end_of_the_time_was_set(void **state)
{
    (void)state;
    set_and_clear_in("park: gives up", 0.001);
    set_and_clear_in("event: slept", 0.001);
}

/* ---- semaphore ---- */

struct acquiring {
    sp_semaphore semaphore;
    double timeout;
    bool acquired;
};

static void acquire_permit(void *context)
{
    struct acquiring *acquiring = context;
    acquiring->acquired = sp_semaphore_acquire_timeout(&acquiring->semaphore, acquiring->timeout);
}

static bool take_permit(struct acquiring *acquiring)
{
    return sp_semaphore_acquire_timeout(&acquiring->semaphore, SP_NOWAIT);
}

struct releasing {
    sp_semaphore *semaphore;
    unsigned n;
    sp_status status;
};

static void release_permits(void *context)
{
    struct releasing *releasing = context;
    releasing->status = sp_semaphore_release(releasing->semaphore, releasing->n);
}

static void a_permit_that_comes_before_the_sleep_is_taken(void **state)
{
    (void)state;
    struct acquiring acquiring = { SP_SEMAPHORE(0), SP_FOREVER, false };
    one sleeper;
    struct pause *window = pause_at("semaphore: no permit");
    one_start(&sleeper, acquire_permit, &acquiring);
    pause_await(window);
    assert_int_equal(sp_semaphore_release(&acquiring.semaphore, 1), SP_OK);
    pause_end(window);
    one_end(&sleeper);
    assert_true(acquiring.acquired);
    assert_false(take_permit(&acquiring));
}

/* A release that has seen a sleeper; the sleeper's time is up before it is unlinked. */
static void release_to_one_who_gives_up(struct acquiring *acquiring, struct releasing *releasing, one *releaser,
                                        struct pause **ret_seen)
{
    one sleeper;
    struct pause *late = pause_at("park: gives up");
    *ret_seen = pause_at("semaphore: sleepers seen");
    one_start(&sleeper, acquire_permit, acquiring);
    pause_await(late);
    one_start(releaser, release_permits, releasing);
    pause_await(*ret_seen);
    pause_end(late);
    one_end(&sleeper);
    assert_false(acquiring->acquired);
}

static void permits_for_a_sleeper_that_gives_up_are_kept(void **state)
{
    (void)state;
    struct acquiring acquiring = { SP_SEMAPHORE(0), 0.001, false };
    struct releasing releasing = { &acquiring.semaphore, 2, SP_OK };
    one releaser;
    struct pause *seen;
    release_to_one_who_gives_up(&acquiring, &releasing, &releaser, &seen);
    pause_end(seen);
    one_end(&releaser);
    assert_int_equal(releasing.status, SP_OK);
    assert_true(take_permit(&acquiring));
    assert_true(take_permit(&acquiring));
    assert_false(take_permit(&acquiring));
}

static void of_two_releases_to_one_place_of_a_bounded_semaphore_one_is_refused(void **state)
{
    (void)state;
    struct acquiring acquiring = { SP_BOUNDED_SEMAPHORE(1), 0.001, false };
    struct releasing releasing = { &acquiring.semaphore, 1, SP_OK };
    one releaser;
    struct pause *seen;
    assert_true(take_permit(&acquiring));
    release_to_one_who_gives_up(&acquiring, &releasing, &releaser, &seen);
    assert_int_equal(sp_semaphore_release(&acquiring.semaphore, 1), SP_OK);
    pause_end(seen);
    one_end(&releaser);
    assert_int_equal(releasing.status, SP_VALUE_ERROR);
    assert_true(take_permit(&acquiring));
    assert_false(take_permit(&acquiring));
}

/* The same when no sleeper was seen. */
static void a_bounded_semaphore_that_is_filled_meanwhile_refuses_the_release(void **state)
{
    (void)state;
    struct acquiring acquiring = { SP_BOUNDED_SEMAPHORE(1), 0, false };
    struct releasing releasing = { &acquiring.semaphore, 1, SP_OK };
    one releaser;
    assert_true(take_permit(&acquiring));
    struct pause *window = pause_at("semaphore: no sleepers seen");
    one_start(&releaser, release_permits, &releasing);
    pause_await(window);
    assert_int_equal(sp_semaphore_release(&acquiring.semaphore, 1), SP_OK);
    pause_end(window);
    one_end(&releaser);
    assert_int_equal(releasing.status, SP_VALUE_ERROR);
    assert_true(take_permit(&acquiring));
    assert_false(take_permit(&acquiring));
}

static void a_release_sees_a_sleeper_that_comes_meanwhile(void **state)
{
    (void)state;
    struct acquiring acquiring = { SP_SEMAPHORE(0), SP_FOREVER, false };
    struct releasing releasing = { &acquiring.semaphore, 1, SP_OK };
    one releaser, sleeper;
    struct pause *window = pause_at("semaphore: no sleepers seen"), *linked = pause_at("park: linked");
    one_start(&releaser, release_permits, &releasing);
    pause_await(window);
    one_start(&sleeper, acquire_permit, &acquiring);
    pause_end(linked);
    pause_end(window);
    one_end(&releaser);
    one_end(&sleeper);
    assert_true(acquiring.acquired);
}

/* ---- once ---- */

struct slow {
    sp_once once;
    sp_event goes_on;
    uint32_t runs; /* atomic */
};

static void be_slow(void *context)
{
    struct slow *slow = context;
    sp__add_seq_cst(&slow->runs, 1);
    assert_true(sp_event_wait(&slow->goes_on, SP_FOREVER));
}

static void call_slow(void *context)
{
    struct slow *slow = context;
    sp_once_call(&slow->once, be_slow, slow);
    assert_true(sp_event_is_set(&slow->goes_on));
}

/* The function returns while another caller, who has seen it run, stands at that place. */
static void return_in(const char *site)
{
    struct slow slow = { .runs = 0 };
    one runner, other;
    one_start_asleep(&runner, call_slow, &slow);
    struct pause *window = pause_at(site);
    one_start(&other, call_slow, &slow);
    pause_await(window);
    sp_event_set(&slow.goes_on);
    one_end(&runner);
    pause_end(window);
    one_end(&other);
    assert_int_equal(sp__load_acquire(&slow.runs), 1);
}

static void a_once_whose_function_returns_before_a_caller_sleeps_lets_it_go_on(void **state)
{
    (void)state;
    return_in("once: runs");
    return_in("once: marked");
    return_in("park: asleep");
}

static void do_nothing(void *context)
{
    (void)context;
}

static void call_once(void *once)
{
    sp_once_call(once, do_nothing, NULL);
}

/* Who finds it done frees it: the call that has run the function does not look at it any more. */
static void who_comes_when_a_once_is_done_goes_on_at_once_and_may_free_it(void **state)
{
    (void)state;
    sp_once *once = page_new();
    one runner, other;
    struct pause *window = pause_at("once: done");
    one_start(&runner, call_once, once);
    pause_await(window);
    one_start(&other, call_once, once);
    one_end(&other);
    page_free(once);
    pause_end(window);
    one_end(&runner);
}

/* Its sleepers are woken when the word says so, and not before. */
static void a_once_wakes_its_sleepers_when_it_is_done(void **state)
{
    (void)state;
    struct slow slow = { .runs = 0 };
    one runner, other;
    one_start_asleep(&runner, call_slow, &slow);
    one_start_asleep(&other, call_slow, &slow);
    struct pause *window = pause_at("once: done");
    sp_event_set(&slow.goes_on);
    pause_await(window);
    sp_once_call(&slow.once, be_slow, &slow); /* for others it is done */
    bunch_await_sleep(&other);
    assert_int_equal(bunch_finished(&other), 0);
    pause_end(window);
    one_end(&runner);
    one_end(&other);
    assert_int_equal(slow.runs, 1);
}

/* ---- lock ---- */

struct locking {
    sp_lock lock;
    double timeout;
    bool acquired;
};

static void acquire_lock(void *context)
{
    struct locking *locking = context;
    locking->acquired = sp_lock_acquire_timeout(&locking->lock, locking->timeout);
    if (locking->acquired)
        sp_lock_release(&locking->lock);
}

static void acquire_and_release(void *lock)
{
    sp_lock_acquire((sp_lock *)lock);
    sp_lock_release((sp_lock *)lock);
}

/* The lock comes free while one who wants it stands at that place. */
static void release_in(const char *site, double timeout)
{
    struct locking locking = { .timeout = timeout };
    one contender;
    sp_lock_acquire(&locking.lock);
    struct pause *window = pause_at(site);
    one_start(&contender, acquire_lock, &locking);
    pause_await(window);
    sp_lock_release(&locking.lock);
    pause_end(window);
    one_end(&contender);
    assert_true(locking.acquired);
    assert_false(sp_lock_locked(&locking.lock));
}

static void a_lock_that_comes_free_before_the_sleep_is_taken(void **state)
{
    (void)state;
    release_in("lock: marked", SP_FOREVER);
    release_in("lock: marked", 100);
    release_in("park: linked", SP_FOREVER);
    release_in("park: asleep", SP_FOREVER);
}

static void a_lock_that_comes_free_with_the_end_of_the_time_is_taken(void **state)
{
    (void)state;
    release_in("park: gives up", 0.001);
    release_in("lock: slept", 0.001);
}

/* One who gives up takes the mark of the sleepers down only if it was the last of them. */
static void a_contender_that_gives_up_leaves_the_other_to_be_woken(void **state)
{
    (void)state;
    struct locking locking = { .timeout = 0.001 };
    one brief, patient;
    sp_lock_acquire(&locking.lock);
    struct pause *late = pause_at("park: gives up");
    one_start(&brief, acquire_lock, &locking);
    pause_await(late);
    struct pause *linked = pause_at("park: linked");
    one_start(&patient, acquire_and_release, &locking.lock);
    pause_end(linked);
    pause_end(late);
    one_end(&brief);
    assert_false(locking.acquired);
    sp_lock_release(&locking.lock);
    one_end(&patient);
}

/* A lock is free for its heir once one has waited for a millisecond, and was woken in vain. */
static void start_heir(one *heir, sp_lock *lock, struct pause **ret_marked)
{
    one_start_asleep(heir, acquire_and_release, lock);
    sp_sleep(0.002);
    struct pause *slept = pause_at("lock: slept");
    sp_lock_release(lock);
    pause_await(slept);
    sp_lock_acquire(lock);
    *ret_marked = pause_at("lock: marked"); /* as the heir: it is about to sleep */
    pause_end(slept);
    pause_await(*ret_marked);
}

/* There may be two heirs: the first has not seen that somebody else took what was kept for it. */
static void two_heirs_of_a_lock_are_woken_both(void **state)
{
    (void)state;
    sp_lock lock = { 0 };
    one first, second;
    struct pause *first_marked, *second_marked;
    sp_lock_acquire(&lock);
    start_heir(&first, &lock, &first_marked);
    sp_lock_release(&lock);
    sp_lock_acquire(&lock); /* takes a while: it is kept for the first */
    start_heir(&second, &lock, &second_marked);
    struct pause *asleep = pause_at("park: asleep");
    pause_end(second_marked);
    pause_end(asleep);
    asleep = pause_at("park: asleep");
    pause_end(first_marked);
    pause_end(asleep);
    sp_lock_release(&lock);
    one_end(&first);
    one_end(&second);
    assert_false(sp_lock_locked(&lock));
}

/* Nobody has it, though it can be had by one alone. */
static void a_lock_that_is_kept_for_its_heir_is_not_locked(void **state)
{
    (void)state;
    sp_lock lock = { 0 };
    one heir;
    struct pause *marked;
    sp_lock_acquire(&lock);
    start_heir(&heir, &lock, &marked);
    struct pause *slept = pause_at("lock: slept");
    sp_lock_release(&lock);
    pause_end(marked);
    pause_await(slept);
    assert_int_not_equal(lock.sp_word_, 0);
    assert_false(sp_lock_locked(&lock));
    pause_end(slept);
    one_end(&heir);
}

static uint32_t came_to_sleep; /* atomic */

static void note_sleeper(const char *site)
{
    if (strcmp(site, "park: linked") == 0)
        sp__add_seq_cst(&came_to_sleep, 1);
}

/* For no time at all: a try does not go to sleep, however briefly. */
static void a_try_for_a_lock_that_is_held_does_not_sleep(void **state)
{
    (void)state;
    struct locking locking = { .timeout = SP_NOWAIT };
    one contender;
    sp_lock_acquire(&locking.lock);
    sp__pause_set(note_sleeper);
    one_start(&contender, acquire_lock, &locking);
    one_end(&contender);
    assert_false(locking.acquired);
    assert_int_equal(sp__load_seq_cst(&came_to_sleep), 0);
    sp_lock_release(&locking.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_when_an_event_is_set_goes_on_at_once_and_may_free_it),
        cmocka_unit_test(an_event_that_is_set_and_cleared_meanwhile_was_set),
        cmocka_unit_test(an_event_that_is_set_with_the_end_of_the_time_was_set),
        cmocka_unit_test(a_permit_that_comes_before_the_sleep_is_taken),
        cmocka_unit_test(permits_for_a_sleeper_that_gives_up_are_kept),
        cmocka_unit_test(of_two_releases_to_one_place_of_a_bounded_semaphore_one_is_refused),
        cmocka_unit_test(a_bounded_semaphore_that_is_filled_meanwhile_refuses_the_release),
        cmocka_unit_test(a_release_sees_a_sleeper_that_comes_meanwhile),
        cmocka_unit_test(a_once_whose_function_returns_before_a_caller_sleeps_lets_it_go_on),
        cmocka_unit_test(who_comes_when_a_once_is_done_goes_on_at_once_and_may_free_it),
        cmocka_unit_test(a_once_wakes_its_sleepers_when_it_is_done),
        cmocka_unit_test(a_lock_that_comes_free_before_the_sleep_is_taken),
        cmocka_unit_test(a_lock_that_comes_free_with_the_end_of_the_time_is_taken),
        cmocka_unit_test(a_contender_that_gives_up_leaves_the_other_to_be_woken),
        cmocka_unit_test(two_heirs_of_a_lock_are_woken_both),
        cmocka_unit_test(a_lock_that_is_kept_for_its_heir_is_not_locked),
        cmocka_unit_test(a_try_for_a_lock_that_is_held_does_not_sleep),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
