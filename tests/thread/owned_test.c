/* Arguments and results of threads and timers are dropped exactly once, and all memory comes back, however they end.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

enum { VALUES = 8, LARGE = 2000 };

struct value {
    int number;
    bool fails;
    unsigned char more[LARGE]; /* so that a copy of it is not on the stack */
};
typedef struct value value;

static uint32_t dropped[VALUES], dropped_results, ran; /* atomic */

static void drop_value(void *arg)
{
    sp__add_seq_cst(&dropped[((const struct value *)arg)->number], 1);
}

static void drop_result(void *result)
{
    (void)result;
    sp__add_seq_cst(&dropped_results, 1);
}

static sp_status use(const value *in, int *out)
{
    sp__add_seq_cst(&ran, 1);
    *out = in->number;
    return in->fails ? sp_raise(SP_RUNTIME_ERROR, "%d fails", in->number) : SP_OK;
}
SP_TASK_OWNING(use, value, int, drop_value, drop_result);

/* The first n were dropped once, and no other. */
static void each_was_dropped_once(int n)
{
    for (int i = 0; i < VALUES; i++)
        if (sp__load_seq_cst(&dropped[i]) != (i < n ? 1u : 0u))
            fail_msg("value %d was dropped %u times", i, sp__load_seq_cst(&dropped[i]));
}

static void say_nothing(sp_thread *thread, const sp_error *error, void *context)
{
    (void)thread, (void)error, (void)context;
}

static void say_nothing_of_timers(const sp_error *error, void *context)
{
    (void)error, (void)context;
}

/* Run it some times: after the first one leaves no memory, and no thread. */
static void leaves_nothing(void (*scene)(void))
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 4; i++) {
        memset(dropped, 0, sizeof dropped);
        sp__store_seq_cst(&dropped_results, 0);
        sp__store_seq_cst(&ran, 0);
        scene();
        assert_true(sp_join_all(SP_FOREVER));
        assert_int_equal(sp_thread_active_count(), 1);
        if (i > 0)
            test_await(sp__fault_blocks() <= least); /* the timer thread may be about to free something */
        least = sp__fault_blocks();
    }
}

/* ---- threads ---- */

static sp_thread *start(int number, bool fails)
{
    const value in = { .number = number, .fails = fails };
    return sp_thread_start(NULL, &use_sp_task, &in);
}

/* Joined and not, held and not, one that fails. */
static void start_some(void)
{
    int result = 7;
    sp_thread *threads[4] = { start(0, false), start(1, true), start(2, false), start(3, true) };
    sp_thread_release(start(4, false));
    sp_thread_release(start(5, true));
    assert_int_equal(sp_join(threads[0], &result, SP_FOREVER), SP_OK);
    assert_int_equal(result, 0);
    assert_int_equal(sp_join(threads[1], NULL, SP_FOREVER), SP_RUNTIME_ERROR);
    assert_int_equal(sp__load_seq_cst(&dropped[0]) + sp__load_seq_cst(&dropped[1]), 0); /* the handles keep them */
    for (int i = 0; i < 4; i++)
        sp_thread_release(threads[i]);
    assert_true(sp_join_all(SP_FOREVER));
    each_was_dropped_once(6);
    assert_int_equal(sp__load_seq_cst(&ran), 6);
    assert_int_equal(sp__load_seq_cst(&dropped_results), 6);
}

/* Each call of the system that a start makes is refused in turn; but for the copy by which the argument is dropped. */
static void start_refused(void)
{
    uint32_t refused = 0, started = 0;
    for (uint64_t call = 1; started == 0; call++) {
        sp__fault_arm(call, false);
        sp_thread *thread = start((int)(refused % VALUES), false);
        sp__fault_disarm();
        if (thread == NULL) {
            assert_int_equal(sp__load_seq_cst(&dropped[refused % VALUES]), 1 + refused / VALUES);
            refused++;
            continue;
        }
        assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
        sp_thread_release(thread);
        started++;
    }
    assert_true(refused > 2);
    assert_int_equal(sp__load_seq_cst(&ran), 1);
}

static void arguments_of_threads_are_dropped_once(void **state)
{
    (void)state;
    leaves_nothing(start_some);
    leaves_nothing(start_refused);
}

/* ---- timers ---- */

static sp_timer *start_timer(double seconds, int number)
{
    const value in = { .number = number };
    return sp_timer_new(seconds, &use_sp_task, &in);
}

static void count_error(const sp_error *error, void *context)
{
    (void)error;
    ++*(unsigned *)context;
}

/* One that cannot be started when it is due: for its thread there is no memory, for the copy there is. */
static void start_that_fails(int number)
{
    sp_timer *first = start_timer(0, number); /* the timer thread is there now */
    assert_int_equal(sp_timer_join(first, SP_FOREVER), SP_OK);
    sp_timer_release(first);
    sp__fault_arm(UINT64_MAX, false);
    sp_timer *later = start_timer(1000, number + 1);
    sp__fault_arm(sp__fault_calls() + 1, false);
    sp_timer *fails = start_timer(0, number + 2);
    assert_int_equal(sp_timer_join(fails, SP_FOREVER), SP_OS_ERROR);
    assert_int_equal(sp__fault_disarm(), 1);
    assert_int_equal(sp__load_seq_cst(&dropped[number + 2]), 1);
    sp_timer_release(fails);
    assert_true(sp_timer_cancel(later));
    assert_int_equal(sp__load_seq_cst(&dropped[number + 1]), 0); /* the handle keeps it */
    sp_timer_release(later);
}

/* One that fires, with a handle and without; cancelled; that fails; refused at once. */
static void start_timers(void)
{
    sp_timer *fires = start_timer(0, 0);
    sp_timer_release(start_timer(0, 1));
    assert_int_equal(sp_timer_join(fires, SP_FOREVER), SP_OK);
    sp_timer_release(fires);
    assert_true(sp_join_all(SP_FOREVER));
    start_that_fails(2);
    assert_null(start_timer(strtod("nan", NULL), 5));
    sp__fault_arm(1, false);
    assert_null(start_timer(1000, 6));
    assert_int_equal(sp__fault_disarm(), 1);
    each_was_dropped_once(7);
    assert_int_equal(sp__load_seq_cst(&ran), 3);
}

static void arguments_of_timers_are_dropped_once(void **state)
{
    unsigned errors = 0;
    (void)state;
    sp_set_unseen_error_hook(count_error, &errors);
    leaves_nothing(start_timers);
    sp_set_unseen_error_hook(say_nothing_of_timers, NULL);
    assert_int_equal(errors, 0); /* who joined was told */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_of_threads_are_dropped_once),
        cmocka_unit_test(arguments_of_timers_are_dropped_once),
    };
    sp_set_excepthook(say_nothing, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
