/* Windows of barrier and condition, held open: another thread does the opposite in between, or frees them.

   SPDX-License-Identifier: MIT */
#include "window.h"

#include <spool.h>

/* ---- barrier ---- */

struct arriving {
    sp_barrier *barrier;
    double timeout;
    sp_status status;
};

static void arrive(void *context)
{
    struct arriving *arriving = context;
    arriving->status = sp_barrier_wait(arriving->barrier, NULL, arriving->timeout);
}

static void await_arrival(const sp_barrier *barrier)
{
    test_await(sp_barrier_n_waiting(barrier) == 1);
}

/* Two threads meet there now, with nobody else: it is whole, and nobody is counted in it. */
static void assert_two_can_meet(sp_barrier *barrier)
{
    struct arriving other = { barrier, SP_FOREVER, SP_TIMEOUT };
    one thread;
    assert_int_equal(sp_barrier_n_waiting(barrier), 0);
    one_start(&thread, arrive, &other);
    assert_int_equal(sp_barrier_wait(barrier, NULL, (double)test_patience()), SP_OK);
    one_end(&thread);
    assert_int_equal(other.status, SP_OK);
}

struct action {
    sp_event begun, goes_on;
};

static bool act(void *context)
{
    struct action *action = context;
    sp_event_set(&action->begun);
    return sp_event_wait(&action->goes_on, SP_FOREVER);
}

/* All have arrived, and the action runs: the end of the time comes too late. */
static void whose_time_is_up_when_all_have_arrived_passes(void **state)
{
    (void)state;
    struct action action = { .begun = { 0 } };
    sp_barrier barrier = SP_BARRIER_ACTION(2, act, &action);
    struct arriving first = { &barrier, 0.001, SP_TIMEOUT }, last = { &barrier, SP_FOREVER, SP_TIMEOUT };
    one brief, other;
    struct pause *late = pause_at("park: gives up"), *waits = pause_at("park: being woken");
    one_start(&brief, arrive, &first);
    pause_await(late);
    one_start(&other, arrive, &last);
    assert_true(sp_event_wait(&action.begun, SP_FOREVER));
    pause_end(late);
    pause_end(waits);
    sp_event_set(&action.goes_on);
    one_end(&brief);
    one_end(&other);
    assert_int_equal(first.status, SP_OK);
    assert_int_equal(last.status, SP_OK);
    assert_false(sp_barrier_broken(&barrier));
}

/* Whose time is up has left the barrier, and has not broken it yet. */
static void start_late(one *thread, struct arriving *late, struct pause **ret_window)
{
    *ret_window = pause_at("barrier: out of time");
    one_start(thread, arrive, late);
    pause_await(*ret_window);
}

static void whose_time_is_up_does_not_break_the_round_after_a_reset(void **state)
{
    (void)state;
    sp_barrier barrier = SP_BARRIER(2);
    struct arriving late = { &barrier, 0.001, SP_OK };
    one thread;
    struct pause *window;
    start_late(&thread, &late, &window);
    sp_barrier_reset(&barrier);
    pause_end(window);
    one_end(&thread);
    assert_int_equal(late.status, SP_TIMEOUT);
    assert_false(sp_barrier_broken(&barrier));
    assert_two_can_meet(&barrier);
}

static void whose_time_is_up_is_not_counted_any_more(void **state)
{
    (void)state;
    sp_barrier barrier = SP_BARRIER(2);
    struct arriving late = { &barrier, 0.001, SP_OK };
    one thread;
    struct pause *window;
    start_late(&thread, &late, &window);
    assert_two_can_meet(&barrier);
    pause_end(window);
    one_end(&thread);
    assert_int_equal(late.status, SP_TIMEOUT);
    assert_two_can_meet(&barrier);
}

static void whose_time_is_up_breaks_the_round_of_those_who_came_meanwhile(void **state)
{
    (void)state;
    sp_barrier barrier = SP_BARRIER(2);
    struct arriving late = { &barrier, 0.001, SP_OK }, other = { &barrier, SP_FOREVER, SP_OK };
    one thread, waiter;
    struct pause *window;
    start_late(&thread, &late, &window);
    one_start(&waiter, arrive, &other);
    await_arrival(&barrier);
    pause_end(window);
    one_end(&thread);
    one_end(&waiter);
    assert_int_equal(other.status, SP_BROKEN_BARRIER);
    assert_true(sp_barrier_broken(&barrier));
}

/* All have arrived; before the action somebody aborts, or resets. */
static void end_before_the_action(void (*end)(sp_barrier *barrier), bool broken)
{
    sp_barrier barrier = SP_BARRIER(2);
    struct arriving first = { &barrier, SP_FOREVER, SP_OK }, last = first;
    one early, other;
    one_start(&early, arrive, &first);
    await_arrival(&barrier);
    struct pause *window = pause_at("barrier: all arrived");
    one_start(&other, arrive, &last);
    pause_await(window);
    end(&barrier);
    one_end(&early);
    pause_end(window);
    one_end(&other);
    assert_int_equal(first.status, SP_BROKEN_BARRIER);
    assert_int_equal(last.status, SP_BROKEN_BARRIER);
    assert_int_equal(sp_barrier_broken(&barrier), broken);
    sp_barrier_reset(&barrier);
    assert_two_can_meet(&barrier);
}

static void an_abort_or_a_reset_before_the_action_is_told_to_all(void **state)
{
    (void)state;
    end_before_the_action(sp_barrier_abort, true);
    end_before_the_action(sp_barrier_reset, false);
}

/* The round is over for those who slept; the first of them frees the barrier while the last is still on its way. */
static void the_first_to_pass_a_barrier_may_free_it(void **state)
{
    (void)state;
    sp_barrier *barrier = page_new();
    *barrier = (sp_barrier)SP_BARRIER(2);
    struct arriving first = { barrier, SP_FOREVER, SP_TIMEOUT }, last = first;
    one early, other;
    one_start(&early, arrive, &first);
    await_arrival(barrier);
    struct pause *window = pause_at("barrier: round ended");
    one_start(&other, arrive, &last);
    pause_await(window);
    one_end(&early);
    assert_int_equal(first.status, SP_OK);
    page_free(barrier);
    pause_end(window);
    one_end(&other);
    assert_int_equal(last.status, SP_OK);
}

/* Who comes then belongs to the next round, and finds no gate. */
static void who_comes_when_a_round_has_just_ended_is_of_the_next(void **state)
{
    (void)state;
    sp_barrier barrier = SP_BARRIER(2);
    struct arriving first = { &barrier, SP_FOREVER, SP_TIMEOUT }, last = first;
    one early, other;
    one_start(&early, arrive, &first);
    await_arrival(&barrier);
    struct pause *window = pause_at("barrier: round ended");
    one_start(&other, arrive, &last);
    pause_await(window);
    assert_two_can_meet(&barrier);
    pause_end(window);
    one_end(&early);
    one_end(&other);
}

/* Who comes during the action sleeps at a gate; on its way there the barrier is opened at that place of another's call. */
static void who_is_on_its_way_to_the_gate_when_the_action_ends_goes_on(void **state)
{
    (void)state;
    struct action action = { .begun = { 0 } };
    sp_barrier barrier = SP_BARRIER_ACTION(2, act, &action);
    struct arriving waits = { &barrier, SP_FOREVER, SP_TIMEOUT }, first = waits, last = waits;
    one early, other, late;
    one_start(&early, arrive, &first);
    await_arrival(&barrier);
    one_start(&other, arrive, &last);
    assert_true(sp_event_wait(&action.begun, SP_FOREVER));
    struct pause *window = pause_at("barrier: at the gate");
    one_start(&late, arrive, &waits);
    pause_await(window);
    sp_event_set(&action.goes_on);
    one_end(&early);
    one_end(&other);
    pause_end(window);
    await_arrival(&barrier);
    assert_int_equal(sp_barrier_wait(&barrier, NULL, (double)test_patience()), SP_OK);
    one_end(&late);
    assert_int_equal(waits.status, SP_OK);
}

static bool end_thread(void *context)
{
    (void)context;
    pthread_exit(NULL);
}

/* The action ends its thread: the round is broken, and nobody waits at the gate. */
static void an_action_that_ends_its_thread_breaks_the_round(void **state)
{
    (void)state;
    sp_barrier barrier = SP_BARRIER_ACTION(2, end_thread, NULL);
    struct arriving first = { &barrier, SP_FOREVER, SP_OK }, last = first, after = first;
    one threads[3];
    one_start_asleep(&threads[0], arrive, &first);
    one_start(&threads[1], arrive, &last);
    bunch_join(&threads[1]);
    assert_int_equal(bunch_finished(&threads[1]), 0); /* its wait has not returned */
    one_end(&threads[0]);
    assert_int_equal(first.status, SP_BROKEN_BARRIER);
    one_start(&threads[2], arrive, &after);
    one_end(&threads[2]);
    assert_int_equal(after.status, SP_BROKEN_BARRIER);
    barrier.sp_action_ = NULL;
    sp_barrier_reset(&barrier);
    assert_two_can_meet(&barrier);
}

struct ending {
    sp_barrier *barrier;
    void (*end)(sp_barrier *barrier);
};

static void end_barrier(void *context)
{
    struct ending *ending = context;
    ending->end(ending->barrier);
}

/* Who comes during the action, and after a reset or an abort that has not opened the gate yet, finds none. */
static void end_during_the_action(void (*end)(sp_barrier *barrier), const char *site, sp_status expected)
{
    struct action action = { .begun = { 0 } };
    sp_barrier barrier = SP_BARRIER_ACTION(2, act, &action);
    struct arriving first = { &barrier, SP_FOREVER, SP_OK }, last = first, late = first;
    struct ending ending = { &barrier, end };
    one early, other, ender, comer;
    one_start(&early, arrive, &first);
    await_arrival(&barrier);
    one_start(&other, arrive, &last);
    assert_true(sp_event_wait(&action.begun, SP_FOREVER));
    struct pause *window = pause_at(site);
    one_start(&ender, end_barrier, &ending);
    pause_await(window);
    late.timeout = 0.001;
    one_start(&comer, arrive, &late);
    one_end(&comer); /* the action still runs, and no gate has been opened */
    assert_int_equal(late.status, expected);
    pause_end(window);
    one_end(&ender);
    one_end(&early);
    sp_event_set(&action.goes_on);
    one_end(&other);
    assert_int_equal(first.status, SP_BROKEN_BARRIER);
    assert_int_equal(last.status, SP_BROKEN_BARRIER);
}

static void who_comes_when_a_barrier_was_just_reset_or_aborted_finds_no_gate(void **state)
{
    (void)state;
    end_during_the_action(sp_barrier_reset, "barrier: reset", SP_TIMEOUT);
    end_during_the_action(sp_barrier_abort, "barrier: aborted", SP_BROKEN_BARRIER);
}

/* Who has come after a reset belongs to another round than the action that still runs. */
static void the_end_of_an_action_whose_round_was_reset_leaves_the_next_round_alone(void **state)
{
    (void)state;
    struct action action = { .begun = { 0 } };
    sp_barrier barrier = SP_BARRIER_ACTION(2, act, &action);
    struct arriving first = { &barrier, SP_FOREVER, SP_OK }, last = first, next = { &barrier, SP_FOREVER, SP_TIMEOUT };
    one early, other, comer;
    one_start(&early, arrive, &first);
    await_arrival(&barrier);
    one_start(&other, arrive, &last);
    assert_true(sp_event_wait(&action.begun, SP_FOREVER));
    sp_barrier_reset(&barrier);
    one_end(&early);
    one_start(&comer, arrive, &next);
    await_arrival(&barrier);
    sp_event_set(&action.goes_on);
    one_end(&other);
    assert_int_equal(last.status, SP_BROKEN_BARRIER);
    sp_barrier_abort(&barrier); /* it still waits: it is told of this, and of nothing before */
    one_end(&comer);
    assert_int_equal(next.status, SP_BROKEN_BARRIER);
}

/* ---- condition ---- */

struct waiting {
    sp_lock lock;
    sp_condition *condition;
    double timeout;
    bool notified;
};

static void wait_for_condition(void *context)
{
    struct waiting *waiting = context;
    SP_WITH(&waiting->lock)
    waiting->notified = sp_condition_wait(waiting->condition, &waiting->lock, waiting->timeout);
}

static void notify_one(void *context)
{
    struct waiting *waiting = context;
    sp_condition_notify(waiting->condition, 1);
}

static void a_notification_that_comes_with_the_end_of_the_time_counts(void **state)
{
    (void)state;
    sp_condition condition = { 0 };
    struct waiting waiting = { .condition = &condition, .timeout = 0.001 };
    one waiter;
    struct pause *late = pause_at("park: gives up");
    one_start(&waiter, wait_for_condition, &waiting);
    pause_await(late);
    SP_WITH(&waiting.lock)
    sp_condition_notify(&condition, 1);
    pause_end(late);
    one_end(&waiter);
    assert_true(waiting.notified);
    assert_int_equal(condition.sp_word_, 0);
}

/* The first waiter to return frees the condition, while the notifier has still to wake the second. */
static void the_first_of_the_notified_waiters_may_free_the_condition(void **state)
{
    (void)state;
    sp_condition *condition = page_new();
    struct waiting waiting = { .condition = condition, .timeout = SP_FOREVER };
    one waiter, notifier;
    struct pause *linked = pause_at("park: linked");
    one_start(&waiter, wait_for_condition, &waiting);
    pause_end(linked);
    test_await(sp_lock_acquire_timeout(&waiting.lock, SP_NOWAIT));
    sp_lock_release(&waiting.lock);
    struct pause *woken = pause_at("park: woken");
    one_start(&notifier, notify_one, &waiting);
    pause_await(woken);
    one_end(&waiter);
    assert_true(waiting.notified);
    page_free(condition);
    pause_end(woken);
    one_end(&notifier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whose_time_is_up_when_all_have_arrived_passes),
        cmocka_unit_test(whose_time_is_up_does_not_break_the_round_after_a_reset),
        cmocka_unit_test(whose_time_is_up_is_not_counted_any_more),
        cmocka_unit_test(whose_time_is_up_breaks_the_round_of_those_who_came_meanwhile),
        cmocka_unit_test(an_abort_or_a_reset_before_the_action_is_told_to_all),
        cmocka_unit_test(the_first_to_pass_a_barrier_may_free_it),
        cmocka_unit_test(who_comes_when_a_round_has_just_ended_is_of_the_next),
        cmocka_unit_test(who_is_on_its_way_to_the_gate_when_the_action_ends_goes_on),
        cmocka_unit_test(an_action_that_ends_its_thread_breaks_the_round),
        cmocka_unit_test(who_comes_when_a_barrier_was_just_reset_or_aborted_finds_no_gate),
        cmocka_unit_test(the_end_of_an_action_whose_round_was_reset_leaves_the_next_round_alone),
        cmocka_unit_test(a_notification_that_comes_with_the_end_of_the_time_counts),
        cmocka_unit_test(the_first_of_the_notified_waiters_may_free_the_condition),
    };
    return cmocka_run_group_tests_name("meeting window", tests, NULL, NULL);
}
