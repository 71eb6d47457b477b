/* What counts when the time is up: what has come by then, or was there from the start.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"

/* ---- wait_for ---- */

struct question {
    sp_lock lock;
    sp_condition condition;
    int true_from; /* this call on; INT32_MAX: never */
    int asked;
};

static bool ask(void *context)
{
    struct question *question = context;
    assert_true(sp_lock_locked(&question->lock));
    return ++question->asked >= question->true_from;
}

static bool wait_for(struct question *question, double timeout)
{
    sp_lock_acquire(&question->lock);
    bool answer = sp_condition_wait_for(&question->condition, &question->lock, ask, question, timeout);
    sp_lock_release(&question->lock); /* misuse, if it is not held */
    return answer;
}

/* Nobody notifies: it is asked again because the time is up. */
static void wait_for_is_true_if_the_predicate_is_when_the_time_is_up(void **state)
{
    (void)state;
    struct question question = { .true_from = 2 };
    double begin = sp_monotonic();
    assert_true(wait_for(&question, 0.02));
    assert_true(sp_monotonic() - begin >= 0.02);
    assert_int_equal(question.asked, 2);
}

static void wait_for_is_false_if_the_predicate_is_when_the_time_is_up(void **state)
{
    (void)state;
    struct question question = { .true_from = INT32_MAX };
    double begin = sp_monotonic();
    assert_false(wait_for(&question, 0.02));
    assert_true(sp_monotonic() - begin >= 0.02);
    assert_int_equal(question.asked, 2);
}

static void wait_for_without_time_asks_once(void **state)
{
    (void)state;
    const double passed[] = { SP_NOWAIT, -1, strtod("nan", NULL) };
    for (int i = 0; i < 3; i++) {
        struct question yes = { .true_from = 1 }, no = { .true_from = 2 };
        assert_true(wait_for(&yes, passed[i]));
        assert_false(wait_for(&no, passed[i]));
        assert_int_equal(yes.asked, 1);
        assert_int_equal(no.asked, 1);
    }
    struct question at_once = { .true_from = 1 };
    assert_true(wait_for(&at_once, SP_FOREVER));
    assert_int_equal(at_once.asked, 1);
}

/* ---- a barrier: once all have arrived nobody is late ---- */

enum { LIMIT_MS = 20 };

struct meeting {
    sp_barrier barrier;
    bool acts; /* guarded by the barrier: the action was run */
    sp_status early[2];
    unsigned index[2];
    uint32_t next; /* atomic */
};

/* It takes until the time of all others is up. */
static bool act_for_long(void *context)
{
    struct meeting *meeting = context;
    meeting->acts = true;
    sp_sleep(3 * LIMIT_MS / 1e3);
    return true;
}

static void *arrive_early(void *arg)
{
    struct meeting *meeting = arg;
    uint32_t self = sp__add_relaxed(&meeting->next, 1); /* relaxed: a number of its own */
    meeting->early[self] = sp_barrier_wait(&meeting->barrier, &meeting->index[self], LIMIT_MS / 1e3);
    return NULL;
}

/* True: all had arrived in time, and the time was up while the action ran. */
static bool time_is_up_during_the_action(struct meeting *meeting)
{
    *meeting = (struct meeting){ .barrier = SP_BARRIER_ACTION(3, act_for_long, meeting), .index = { 9, 9 } };
    pthread_t others[2];
    unsigned index = 9;
    for (int i = 0; i < 2; i++)
        others[i] = test_thread(arrive_early, meeting);
    test_await(sp_barrier_n_waiting(&meeting->barrier) == 2 || sp_barrier_broken(&meeting->barrier));
    sp_status last = sp_barrier_wait(&meeting->barrier, &index, SP_NOWAIT); /* nor has the last one to wait */
    for (int i = 0; i < 2; i++)
        test_join(others[i]);
    assert_int_equal(last, meeting->acts ? SP_OK : SP_BROKEN_BARRIER);
    assert_int_equal(index, meeting->acts ? 2 : 9);
    return meeting->acts;
}

static void a_limit_that_ends_when_all_have_arrived_breaks_no_barrier(void **state)
{
    (void)state;
    struct meeting meeting;
    int rounds = 0;
    while (!time_is_up_during_the_action(&meeting)) /* the machine is so busy that one did not come in time */
        assert_true(++rounds < 1000);
    assert_int_equal(meeting.early[0], SP_OK);
    assert_int_equal(meeting.early[1], SP_OK);
    assert_int_equal(meeting.index[0] + meeting.index[1], 1);
    assert_false(sp_barrier_broken(&meeting.barrier));
    assert_int_equal(sp_barrier_n_waiting(&meeting.barrier), 0);
}

static void *wait_for_the_others(void *arg)
{
    struct meeting *meeting = arg;
    meeting->early[0] = sp_barrier_wait(&meeting->barrier, NULL, SP_FOREVER);
    return NULL;
}

static void the_last_to_arrive_needs_no_time(void **state)
{
    (void)state;
    struct meeting meeting = { .barrier = SP_BARRIER(2) };
    for (int i = 0; i < 3; i++) {
        pthread_t other = test_thread(wait_for_the_others, &meeting);
        test_await(sp_barrier_n_waiting(&meeting.barrier) == 1);
        assert_int_equal(sp_barrier_wait(&meeting.barrier, NULL, i == 0 ? SP_NOWAIT : -1), SP_OK);
        test_join(other);
        assert_int_equal(meeting.early[0], SP_OK);
    }
    sp_barrier alone = SP_BARRIER(1);
    assert_int_equal(sp_barrier_wait(&alone, NULL, SP_NOWAIT), SP_OK);
    sp_barrier_abort(&alone);
    assert_int_equal(sp_barrier_wait(&alone, NULL, SP_NOWAIT), SP_BROKEN_BARRIER); /* which is no time-out */
    sp_barrier_abort(&meeting.barrier);
    assert_int_equal(sp_barrier_wait(&meeting.barrier, NULL, SP_NOWAIT), SP_BROKEN_BARRIER);
}

/* ---- what is there need not be waited for ---- */

static void what_is_there_is_to_be_had_without_time(void **state)
{
    (void)state;
    const double passed[] = { SP_NOWAIT, -1, strtod("nan", NULL) };
    for (int i = 0; i < 3; i++) {
        sp_lock lock = { 0 };
        sp_rlock rlock = { 0 };
        sp_semaphore one = SP_SEMAPHORE(1);
        sp_event event = { 0 };
        assert_true(sp_lock_acquire_timeout(&lock, passed[i]));
        assert_true(sp_rlock_acquire_timeout(&rlock, passed[i]));
        assert_true(sp_rlock_acquire_timeout(&rlock, passed[i]));
        assert_true(sp_semaphore_acquire_timeout(&one, passed[i]));
        assert_false(sp_semaphore_acquire_timeout(&one, passed[i]));
        assert_false(sp_event_wait(&event, passed[i]));
        sp_event_set(&event);
        assert_true(sp_event_wait(&event, passed[i]));
        sp_rlock_release(&rlock);
        sp_rlock_release(&rlock);
        sp_lock_release(&lock);
    }
}

/* ---- semaphores: how many permits there may be ---- */

static void a_release_that_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    sp_semaphore bounded = SP_BOUNDED_SEMAPHORE(2), free = SP_SEMAPHORE(UINT32_MAX - 1);
    assert_int_equal(sp_semaphore_release(&bounded, 1), SP_VALUE_ERROR); /* it is full */
    assert_true(sp_semaphore_acquire_timeout(&bounded, SP_NOWAIT));
    assert_int_equal(sp_semaphore_release(&bounded, 0), SP_VALUE_ERROR);
    assert_int_equal(sp_semaphore_release(&bounded, 2), SP_VALUE_ERROR); /* nor one of the two */
    assert_int_equal(sp_semaphore_release(&bounded, UINT32_MAX), SP_VALUE_ERROR);
    assert_int_equal(sp_semaphore_release(&bounded, 1), SP_OK);
    assert_int_equal(sp_semaphore_release(&bounded, 1), SP_VALUE_ERROR);
    assert_int_equal(sp_semaphore_release(&free, 2), SP_VALUE_ERROR);
    assert_int_equal(sp_semaphore_release(&free, 1), SP_OK);
    assert_int_equal(sp_semaphore_release(&free, 1), SP_VALUE_ERROR);
    assert_true(sp_semaphore_acquire_timeout(&free, SP_NOWAIT));
    for (int i = 0; i < 2; i++)
        assert_true(sp_semaphore_acquire_timeout(&bounded, SP_NOWAIT));
    assert_false(sp_semaphore_acquire_timeout(&bounded, SP_NOWAIT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_for_is_true_if_the_predicate_is_when_the_time_is_up),
        cmocka_unit_test(wait_for_is_false_if_the_predicate_is_when_the_time_is_up),
        cmocka_unit_test(wait_for_without_time_asks_once),
        cmocka_unit_test(a_limit_that_ends_when_all_have_arrived_breaks_no_barrier),
        cmocka_unit_test(the_last_to_arrive_needs_no_time),
        cmocka_unit_test(what_is_there_is_to_be_had_without_time),
        cmocka_unit_test(a_release_that_does_not_fit_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
