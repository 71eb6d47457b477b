/* Wake-ups that are easily lost: those of several objects at once, and those of several who wait for one thing.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "base/atomic.h"
#include "conformance/bunch.h"
#include "park/park.h"

/* They come, and all sleep. */
static void start_asleep(struct bunch *bunch, int n, void (*body)(void *context), void *context)
{
    bunch_start(bunch, n, body, context);
    bunch_await_sleep(bunch);
    assert_int_equal(bunch_finished(bunch), 0);
}

static void await_all(struct bunch *bunch)
{
    test_await(bunch_finished(bunch) == (uint32_t)bunch->n);
    bunch_join(bunch);
}

/* ---- two conditions of one lock ---- */

struct two {
    sp_lock lock;
    sp_condition conditions[2];
    uint32_t arrived; /* guarded by lock */
};

static void wait_for_either(void *context)
{
    struct two *two = context;
    SP_WITH(&two->lock)
    {
        sp_condition *mine = &two->conditions[two->arrived++];
        assert_true(sp_condition_wait(mine, &two->lock, SP_FOREVER));
    }
}

/* Both wake-ups are put off until the release, and neither displaces the other. */
static void two_conditions_of_one_lock_are_notified_under_it(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct two two = { .arrived = 0 };
        struct bunch bunch;
        bunch_start(&bunch, 2, wait_for_either, &two);
        test_await(sp__park_maybe_waiters(&two.conditions[0]) && sp__park_maybe_waiters(&two.conditions[1]));
        SP_WITH(&two.lock)
        {
            sp_condition_notify(&two.conditions[round], 1);
            sp_condition_notify(&two.conditions[!round], 1);
        }
        await_all(&bunch);
    }
}

/* ---- wake-ups that are owed when their owner sleeps ---- */

struct owed {
    sp_lock lock;
    sp_condition condition;
    sp_event never;
};

/* Woken, it wants the lock that the notifier still holds: by that one sees that it was woken. */
static void wait_and_tell(void *context)
{
    struct owed *owed = context;
    sp_lock_acquire(&owed->lock);
    assert_true(sp_condition_wait(&owed->condition, &owed->lock, SP_FOREVER));
    sp_lock_release(&owed->lock);
}

/* Who sleeps with the lock in hand has woken those whom it notified: they sleep for the lock. */
static void a_notifier_that_sleeps_has_woken_whom_it_notified(void **state)
{
    (void)state;
    struct owed owed = { .never = { 0 } };
    struct bunch bunch;
    bunch_start(&bunch, 1, wait_and_tell, &owed);
    test_await(sp__park_maybe_waiters(&owed.condition));
    sp_lock_acquire(&owed.lock);
    sp_condition_notify(&owed.condition, 1);
    while (!sp__park_maybe_waiters(&owed.lock)) /* the whole test hangs here if it is not woken */
        assert_false(sp_event_wait(&owed.never, 0.001));
    sp_lock_release(&owed.lock);
    bunch_join(&bunch);
}

/* ---- a barrier whose action runs ---- */

enum { PARTIES = 2 };

struct meeting {
    sp_barrier barrier;
    sp_event in_action, go_on;
    uint32_t passes; /* atomic */
};

static bool act_once(void *context)
{
    struct meeting *meeting = context;
    if (sp_event_is_set(&meeting->in_action))
        return true;
    sp_event_set(&meeting->in_action);
    return sp_event_wait(&meeting->go_on, SP_FOREVER);
}

static void meet(void *context)
{
    struct meeting *meeting = context;
    assert_int_equal(sp_barrier_wait(&meeting->barrier, NULL, SP_FOREVER), SP_OK);
    sp__add_seq_cst(&meeting->passes, 1);
}

/* They belong to the next round, whoever of them sleeps when the first one ends. */
static void a_barrier_is_reached_while_its_action_runs(void **state)
{
    (void)state;
    struct meeting meeting = { .passes = 0 };
    meeting.barrier = (sp_barrier)SP_BARRIER_ACTION(PARTIES, act_once, &meeting);
    struct bunch first, second;
    bunch_start(&first, PARTIES, meet, &meeting);
    assert_true(sp_event_wait(&meeting.in_action, SP_FOREVER));
    bunch_start(&second, PARTIES, meet, &meeting);
    bunch_await_sleep(&second);
    assert_int_equal(sp__load_acquire(&meeting.passes), 0);
    sp_event_set(&meeting.go_on);
    test_await(sp__load_acquire(&meeting.passes) == 2 * PARTIES);
    bunch_join(&first);
    bunch_join(&second);
    assert_int_equal(sp_barrier_n_waiting(&meeting.barrier), 0);
}

static void come_during_action(void *context)
{
    struct meeting *meeting = context;
    assert_int_equal(sp_barrier_wait(&meeting->barrier, NULL, SP_FOREVER), SP_BROKEN_BARRIER);
    sp__add_seq_cst(&meeting->passes, 1);
}

/* A barrier for one, who is in its action. */
static void begin_action(struct meeting *meeting, struct bunch *first)
{
    meeting->barrier = (sp_barrier)SP_BARRIER_ACTION(1, act_once, meeting);
    bunch_start(first, 1, come_during_action, meeting);
    assert_true(sp_event_wait(&meeting->in_action, SP_FOREVER));
}

/* Those who came meanwhile are told at once, and not when the action has ended. */
static void an_abort_during_the_action_is_told_to_all(void **state)
{
    (void)state;
    struct meeting meeting = { .passes = 0 };
    struct bunch first, second;
    begin_action(&meeting, &first);
    bunch_start(&second, 3, come_during_action, &meeting);
    bunch_await_sleep(&second);
    sp_barrier_abort(&meeting.barrier);
    test_await(sp__load_acquire(&meeting.passes) == 3);
    bunch_join(&second);
    sp_event_set(&meeting.go_on);
    bunch_join(&first);
    assert_true(sp_barrier_broken(&meeting.barrier));
}

static void come_after_reset(void *context)
{
    struct meeting *meeting = context;
    assert_int_equal(sp_barrier_wait(&meeting->barrier, NULL, SP_FOREVER), SP_OK);
    sp__add_seq_cst(&meeting->passes, 1);
}

/* They go on, to the new round, while the action of the old one runs, which is broken. */
static void a_reset_during_the_action_begins_a_round(void **state)
{
    (void)state;
    struct meeting meeting = { .passes = 0 };
    struct bunch first, second;
    begin_action(&meeting, &first);
    bunch_start(&second, 3, come_after_reset, &meeting);
    bunch_await_sleep(&second);
    sp_barrier_reset(&meeting.barrier);
    test_await(sp__load_acquire(&meeting.passes) == 3);
    bunch_join(&second);
    sp_event_set(&meeting.go_on);
    bunch_join(&first);
    assert_false(sp_barrier_broken(&meeting.barrier));
}

static bool fail_later(void *context)
{
    (void)act_once(context);
    return false;
}

static void an_action_that_fails_is_told_to_those_who_came_meanwhile(void **state)
{
    (void)state;
    struct meeting meeting = { .passes = 0 };
    meeting.barrier = (sp_barrier)SP_BARRIER_ACTION(1, fail_later, &meeting);
    struct bunch first, second;
    bunch_start(&first, 1, come_during_action, &meeting);
    assert_true(sp_event_wait(&meeting.in_action, SP_FOREVER));
    start_asleep(&second, 3, come_during_action, &meeting);
    sp_event_set(&meeting.go_on);
    await_all(&second);
    await_all(&first);
    assert_true(sp_barrier_broken(&meeting.barrier));
}

/* Nobody else has come, and no other round hides that this one is over. */
static void the_last_one_sees_a_reset_during_its_action(void **state)
{
    (void)state;
    struct meeting meeting = { .passes = 0 };
    struct bunch first;
    begin_action(&meeting, &first);
    sp_barrier_reset(&meeting.barrier);
    sp_event_set(&meeting.go_on);
    bunch_join(&first);
}

/* ---- a slow once ---- */

static sp_once once;
static sp_event once_goes_on;
static uint32_t once_runs, once_returns; /* atomic */

static void be_slow(void *context)
{
    (void)context;
    sp__add_seq_cst(&once_runs, 1);
    (void)sp_event_wait(&once_goes_on, SP_FOREVER);
}

static void call_once(void *context)
{
    sp_once_call(&once, be_slow, context);
    assert_true(sp_event_is_set(&once_goes_on));
    sp__add_seq_cst(&once_returns, 1);
}

static void all_callers_of_a_slow_once_go_on(void **state)
{
    (void)state;
    enum { CALLERS = 4 };
    struct bunch bunch;
    start_asleep(&bunch, CALLERS, call_once, NULL);
    assert_int_equal(sp__load_acquire(&once_returns), 0);
    sp_event_set(&once_goes_on);
    test_await(sp__load_acquire(&once_returns) == CALLERS);
    bunch_join(&bunch);
    assert_int_equal(once_runs, 1);
}

/* ---- a queue ---- */

static void join_queue(void *context)
{
    assert_true(sp_queue_join(context, SP_FOREVER));
}

static void all_who_join_a_queue_go_on(void **state)
{
    (void)state;
    enum { JOINERS = 3 };
    sp_queue *queue = sp_queue_of(int);
    struct bunch bunch;
    int item = 1;
    assert_int_equal(sp_put(queue, &item, SP_NOWAIT), SP_OK);
    start_asleep(&bunch, JOINERS, join_queue, queue);
    assert_int_equal(sp_get(queue, &item, SP_NOWAIT), SP_OK);
    assert_int_equal(bunch_finished(&bunch), 0);
    assert_int_equal(sp_queue_task_done(queue), SP_OK);
    await_all(&bunch);
    sp_queue_release(queue);
}

/* ---- timers and threads ---- */

static sp_status do_nothing(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_OK;
}
SP_TASK(do_nothing, sp_none, sp_none);

static void join_cancelled(void *context)
{
    assert_int_equal(sp_timer_join(context, SP_FOREVER), SP_CANCELLED);
}

static void a_cancelled_timer_wakes_who_joins_it(void **state)
{
    (void)state;
    enum { JOINERS = 3 };
    sp_timer *timer = sp_timer_start(1e6, do_nothing, SP_NONE);
    struct bunch bunch;
    start_asleep(&bunch, JOINERS, join_cancelled, timer);
    assert_true(sp_timer_cancel(timer));
    await_all(&bunch);
    sp_timer_release(timer);
}

static void join_all(void *unused)
{
    (void)unused;
    assert_true(sp_join_all(1e6));
}

/* Whoever waits for all that is pending, when the last one is cancelled. */
static void a_cancelled_timer_wakes_all_who_wait_for_the_timers(void **state)
{
    (void)state;
    enum { WAITERS = 3 };
    sp_timer *timer = sp_timer_start(1e6, do_nothing, SP_NONE);
    struct bunch bunch;
    start_asleep(&bunch, WAITERS, join_all, NULL);
    assert_true(sp_timer_cancel(timer));
    await_all(&bunch);
    sp_timer_release(timer);
}

static sp_event task_ends;

static sp_status end_when_told(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_event_wait(&task_ends, SP_FOREVER) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(end_when_told, sp_none, sp_none);

static void join_thread(void *context)
{
    assert_int_equal(sp_join((sp_thread *)context, NULL, SP_FOREVER), SP_OK);
}

static void the_end_of_a_thread_wakes_who_joins_it(void **state)
{
    (void)state;
    enum { JOINERS = 6 };
    sp_thread *thread = sp_start(end_when_told);
    struct bunch bunch;
    start_asleep(&bunch, JOINERS, join_thread, thread);
    sp_event_set(&task_ends);
    await_all(&bunch);
    sp_thread_release(thread);
}

static sp_thread *foreign; /* set by that thread before `here` */
static sp_event here, may_end;

static void *be_foreign(void *unused)
{
    foreign = sp_thread_retain(sp_thread_current());
    sp_event_set(&here);
    (void)sp_event_wait(&may_end, SP_FOREVER);
    return unused;
}

static void the_end_of_a_foreign_thread_wakes_who_joins_it(void **state)
{
    (void)state;
    enum { JOINERS = 3 };
    struct bunch bunch;
    pthread_t thread = test_thread(be_foreign, NULL);
    assert_true(sp_event_wait(&here, SP_FOREVER));
    start_asleep(&bunch, JOINERS, join_thread, foreign);
    sp_event_set(&may_end);
    await_all(&bunch);
    test_join(thread);
    sp_thread_release(foreign);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_conditions_of_one_lock_are_notified_under_it),
        cmocka_unit_test(a_notifier_that_sleeps_has_woken_whom_it_notified),
        cmocka_unit_test(a_barrier_is_reached_while_its_action_runs),
        cmocka_unit_test(an_abort_during_the_action_is_told_to_all),
        cmocka_unit_test(a_reset_during_the_action_begins_a_round),
        cmocka_unit_test(an_action_that_fails_is_told_to_those_who_came_meanwhile),
        cmocka_unit_test(the_last_one_sees_a_reset_during_its_action),
        cmocka_unit_test(all_callers_of_a_slow_once_go_on),
        cmocka_unit_test(all_who_join_a_queue_go_on),
        cmocka_unit_test(a_cancelled_timer_wakes_who_joins_it),
        cmocka_unit_test(a_cancelled_timer_wakes_all_who_wait_for_the_timers),
        cmocka_unit_test(the_end_of_a_thread_wakes_who_joins_it),
        cmocka_unit_test(the_end_of_a_foreign_thread_wakes_who_joins_it),
    };
    return cmocka_run_group_tests_name("wake", tests, NULL, NULL);
}
