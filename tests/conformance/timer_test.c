/* sp_timer behaves like threading.Timer.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "base/atomic.h"
#include "conformance/child.h"

static sp_event called, gate;
static uint32_t calls, drops; /* atomic */
static int numbers[2];        /* what the first two calls were given; read after `called` */

static sp_status note_call(const int *in, sp_none *out)
{
    (void)out;
    uint32_t call = sp__add_seq_cst(&calls, 1);
    if (call < 2)
        numbers[call] = *in;
    sp_event_set(&called);
    return SP_OK;
}
SP_TASK(note_call, int, sp_none);

static void count_drop(void *bytes)
{
    (void)bytes;
    sp__add_seq_cst(&drops, 1);
}

static sp_status owner(const int *in, int *out)
{
    sp__add_seq_cst(&calls, 1);
    *out = *in;
    return SP_OK;
}
SP_TASK_OWNING(owner, int, int, count_drop, NULL);

static sp_status wait_at_gate(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp__add_seq_cst(&calls, 1);
    sp_event_wait(&gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_at_gate, sp_none, sp_none);

static sp_status complain(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    return sp_raise(SP_VALUE_ERROR, "late complaint");
}
SP_TASK(complain, sp_none, sp_none);

static int forget(void **state)
{
    (void)state;
    sp_event_clear(&called);
    sp_event_clear(&gate);
    sp__store_release(&calls, 0);
    sp__store_release(&drops, 0);
    return 0;
}

static void each_timer_has_its_own_argument(void **state)
{
    (void)state;
    int number = 1;
    sp_timer *first = sp_timer_new(0.01, &note_call_sp_task, &number);
    number = 100; /* the timer has its copy */
    assert_true(sp_event_wait(&called, SP_FOREVER));
    sp_event_clear(&called);
    sp_timer *second = sp_timer_start(0.01, note_call, 2);
    assert_true(sp_event_wait(&called, SP_FOREVER));
    assert_int_equal(sp_timer_join(first, SP_FOREVER), SP_OK);
    assert_int_equal(sp_timer_join(second, SP_FOREVER), SP_OK);
    assert_int_equal(sp__load_acquire(&calls), 2);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(numbers[1], 2);
    sp_timer_release(first);
    sp_timer_release(second);
}

static void it_runs_when_its_time_has_come_and_not_before(void **state)
{
    (void)state;
    const double times[4] = { 0.05, 0.02, 0, -1 };
    for (int i = 0; i < 4; i++) {
        sp__store_release(&calls, 0);
        double begin = sp_monotonic();
        sp_timer *timer = sp_timer_start(times[i], note_call, i);
        assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_OK);
        assert_true(sp_monotonic() - begin >= times[i]);
        assert_int_equal(sp__load_acquire(&calls), 1);
        sp_timer_release(timer);
    }
}

static void cancelled_in_time_it_never_runs(void **state)
{
    (void)state;
    sp_timer *timer = sp_timer_start(SP_FOREVER, owner, 1);
    assert_int_equal(sp_timer_join(timer, 0.01), SP_TIMEOUT);
    assert_true(sp_timer_cancel(timer));
    assert_int_not_equal(sp_timer_join(timer, SP_FOREVER), SP_TIMEOUT); /* there is nothing to wait for */
    assert_int_equal(sp__load_acquire(&calls), 0);
    sp_timer_release(timer);
    test_await(sp__load_acquire(&drops) == 1); /* the argument of a task that never ran */
}

static void cancelled_too_late_it_has_run(void **state)
{
    (void)state;
    sp_timer *timer = sp_timer_start(0.001, note_call, 1);
    assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_OK);
    assert_false(sp_timer_cancel(timer));
    assert_int_equal(sp__load_acquire(&calls), 1);
    sp_timer_release(timer);
}

static void cancel_and_run_exclude_each_other(void **state)
{
    (void)state;
    for (long i = test_count(300); i > 0; i--) {
        sp__store_release(&calls, 0);
        sp__store_release(&drops, 0);
        sp_timer *timer = sp_timer_start((double)(i % 10) * 2e-5, owner, 1);
        for (long spin = i % 7 * 500; spin > 0; spin--)
            sp__cpu_relax();
        bool cancelled = sp_timer_cancel(timer);
        assert_int_not_equal(sp_timer_join(timer, SP_FOREVER), SP_TIMEOUT);
        assert_int_equal(sp__load_acquire(&calls), cancelled ? 0 : 1);
        sp_timer_release(timer);
        test_await(sp__load_acquire(&drops) == 1);
    }
}

static void one_that_runs_long_holds_nobody_up(void **state)
{
    (void)state;
    sp_timer *slow = sp_timer_start(0, wait_at_gate);
    test_await(sp__load_acquire(&calls) == 1);
    sp_timer *quick = sp_timer_start(0.001, note_call, 1);
    assert_int_equal(sp_timer_join(quick, SP_FOREVER), SP_OK);
    assert_int_equal(sp_timer_join(slow, 0.01), SP_TIMEOUT);
    assert_false(sp_timer_cancel(slow)); /* it runs */
    sp_event_set(&gate);
    assert_int_equal(sp_timer_join(slow, SP_FOREVER), SP_OK);
    sp_timer_release(quick);
    sp_timer_release(slow);
}

static void released_before_its_time_it_runs_all_the_same(void **state)
{
    (void)state;
    sp_timer_release(sp_timer_start(0.01, note_call, 1));
    assert_true(sp_event_wait(&called, SP_FOREVER));
    assert_true(sp_join_all(SP_FOREVER));
    assert_int_equal(sp__load_acquire(&calls), 1);
}

static void join_all_waits_for_pending_timers(void **state)
{
    (void)state;
    sp_timer *timer = sp_timer_start(0.05, note_call, 1);
    assert_false(sp_join_all(SP_NOWAIT));
    assert_true(sp_join_all(SP_FOREVER));
    assert_int_equal(sp__load_acquire(&calls), 1);
    assert_int_equal(sp_timer_join(timer, SP_NOWAIT), SP_OK);
    sp_timer_release(timer);
}

/* ---- the end of the process: what children do ---- */

static sp_status say(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    child_say("timer ");
    return SP_OK;
}
SP_TASK(say, sp_none, sp_none);

static int exit_waits_for_a_pending_timer(void)
{
    sp_timer_release(sp_timer_start(0.05, say));
    child_say("main ");
    return 0;
}

static int exit_does_not_wait_for_a_cancelled_one(void)
{
    sp_timer *timer = sp_timer_start(SP_FOREVER, say);
    bool cancelled = sp_timer_cancel(timer);
    sp_timer_release(timer);
    child_say("main ");
    return cancelled ? 0 : 9;
}

static int an_error_goes_to_the_default_hook(void)
{
    sp_timer_release(sp_timer_start(0.001, complain));
    return sp_join_all(SP_FOREVER) ? 0 : 9;
}

static const struct child_case cases[] = {
    CHILD_CASE(exit_waits_for_a_pending_timer, 0, "main timer ", ""),
    CHILD_CASE(exit_does_not_wait_for_a_cancelled_one, 0, "main ", ""),
    CHILD_CASE(an_error_goes_to_the_default_hook, 0, "", "late complaint"),
};

int main(int argc, char **argv)
{
    child_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_timer_has_its_own_argument, forget),
        cmocka_unit_test_setup(it_runs_when_its_time_has_come_and_not_before, forget),
        cmocka_unit_test_setup(cancelled_in_time_it_never_runs, forget),
        cmocka_unit_test_setup(cancelled_too_late_it_has_run, forget),
        cmocka_unit_test_setup(cancel_and_run_exclude_each_other, forget),
        cmocka_unit_test_setup(one_that_runs_long_holds_nobody_up, forget),
        cmocka_unit_test_setup(released_before_its_time_it_runs_all_the_same, forget),
        cmocka_unit_test_setup(join_all_waits_for_pending_timers, forget),
        CHILD_TEST(&cases[0]),
        CHILD_TEST(&cases[1]),
        CHILD_TEST(&cases[2]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
