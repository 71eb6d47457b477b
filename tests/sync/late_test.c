/* Time limits that pass at a certain moment: the clock is the test's own.

   The system refuses futexes here, so that a waiter looks at the clock again and again.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "testing.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"
#include "park/deadline.h"

#define SECOND INT64_C(1000000000)
#define DAY (86400 * SECOND)

static int64_t now = SECOND; /* atomic */
static _Thread_local bool is_watched;
static uint32_t looks; /* atomic; of watched threads at the clock */

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the C library's have no plain names */
int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    if (clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, ret_time);
    int64_t at = sp__load_acquire(&now);
    if (is_watched) /* it may be in a spin, which ends some time after its begin: each look takes a little */
        at += 10 * (int64_t)sp__add_seq_cst(&looks, 1);
    *ret_time = (struct timespec){ .tv_sec = (time_t)(at / SECOND), .tv_nsec = (long)(at % SECOND) };
    return 0;
}

static void let_pass(int64_t time)
{
    sp__add_seq_cst(&now, time);
}

/* The watched thread has looked at the clock twice: it has seen what time it is. */
static void await_looks(void)
{
    uint32_t before = sp__load_acquire(&looks);
    while (sp__load_acquire(&looks) - before < 2)
        sched_yield();
}

/* ---- a barrier ---- */

static sp_barrier barrier;

static bool take_long(void *context)
{
    let_pass(2 * SECOND);
    await_looks();
    return context != NULL;
}

static void *arrive_first(void *arg)
{
    is_watched = true;
    *(sp_status *)arg = sp_barrier_wait(&barrier, NULL, 1);
    return NULL;
}

static void once_all_have_arrived_at_a_barrier_nobody_is_late(void **state)
{
    (void)state;
    sp_status of_first = SP_OS_ERROR;
    barrier = (sp_barrier)SP_BARRIER_ACTION(2, take_long, &barrier);
    pthread_t first = test_thread(arrive_first, &of_first);
    while (sp_barrier_n_waiting(&barrier) != 1)
        sched_yield();
    assert_int_equal(sp_barrier_wait(&barrier, NULL, SP_FOREVER), SP_OK);
    test_join(first);
    assert_int_equal(of_first, SP_OK);
    assert_false(sp_barrier_broken(&barrier));
}

/* ---- a condition ---- */

static sp_lock lock;
static sp_condition condition;
static uint32_t is_asked; /* atomic */

static void *wait_for_a_second(void *arg)
{
    is_watched = true;
    sp_lock_acquire(&lock);
    *(bool *)arg = sp_condition_wait(&condition, &lock, 1);
    sp_lock_release(&lock);
    return NULL;
}

/* It was notified in time, and comes back when it has the lock again. */
static void a_notification_counts_though_the_lock_comes_free_too_late(void **state)
{
    (void)state;
    bool notified = false;
    pthread_t waiter = test_thread(wait_for_a_second, &notified);
    while (sp__load_acquire(&condition.sp_word_) != 1)
        sched_yield();
    sp_lock_acquire(&lock);
    sp_condition_notify(&condition, 1);
    let_pass(2 * SECOND);
    await_looks();
    sp_lock_release(&lock);
    test_join(waiter);
    assert_true(notified);
}

/* The first time that it is asked, and after that nobody wakes it: the second time its limit has passed. */
static bool is_asked_again(void *context)
{
    bool was_asked = *(bool *)context;
    *(bool *)context = true;
    sp__store_release(&is_asked, 1);
    return was_asked;
}

static void *wait_for_a_predicate(void *arg)
{
    bool was_asked = false;
    is_watched = true;
    sp_lock_acquire(&lock);
    *(bool *)arg = sp_condition_wait_for(&condition, &lock, is_asked_again, &was_asked, 1);
    sp_lock_release(&lock);
    return NULL;
}

/* What is true when the time is up is true. */
static void a_predicate_is_asked_once_more_when_the_time_is_up(void **state)
{
    (void)state;
    bool came_true = false;
    pthread_t waiter = test_thread(wait_for_a_predicate, &came_true);
    while (sp__load_acquire(&condition.sp_word_) != 1 || !sp__load_acquire(&is_asked))
        sched_yield();
    let_pass(2 * SECOND);
    test_join(waiter);
    assert_true(came_true);
}

/* ---- the clock itself ---- */

static void limits_are_those_of_the_clock(void **state)
{
    (void)state;
    int64_t at = sp__load_acquire(&now);
    assert_int_equal(sp__deadline(2.5), at + 2 * SECOND + SECOND / 2);
    assert_int_equal(sp__deadline(1e-12), at + 1);
    assert_false(sp__deadline_passed(at + 1));
    assert_true(sp__deadline_passed(at));
    let_pass(SECOND);
    assert_true(sp_monotonic() == (double)(at + SECOND) * 1e-9);
}

/* On a machine that runs for a year. */
static void a_limit_beyond_the_end_of_the_clock_is_none(void **state)
{
    (void)state;
    let_pass(365 * DAY);
    assert_int_equal(sp__deadline(9.195e9), SP__NEVER);
    assert_int_equal(sp__deadline(1e9), sp__load_acquire(&now) + 1000000000 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once_all_have_arrived_at_a_barrier_nobody_is_late),
        cmocka_unit_test(a_notification_counts_though_the_lock_comes_free_too_late),
        cmocka_unit_test(a_predicate_is_asked_once_more_when_the_time_is_up),
        cmocka_unit_test(limits_are_those_of_the_clock),
        cmocka_unit_test(a_limit_beyond_the_end_of_the_clock_is_none),
    };
    sp__fault_futex(true);
    return cmocka_run_group_tests_name("late", tests, NULL, NULL);
}
