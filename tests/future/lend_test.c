/* How often a waiting worker asks its pool to let another one run, what it says, and what the answers do.

   SPDX-License-Identifier: MIT */
#include "future/part.h"

#include "os/fault.h"
#include "os/os.h"

/* ---- how long it asks ---- */

static void a_worker_is_asked_for_less_and_less_often(void **state)
{
    (void)state;
    for (unsigned tries = 0; tries < 20; tries++) {
        int64_t pause = INT64_C(10000000) << (tries < 7 ? tries : 7), before = sp__os_now();
        int64_t at = sp__retry_at(tries, SP__NEVER), after = sp__os_now();
        assert_true(before + pause <= at && at <= after + pause);
        assert_true(sp__retry_at(tries, before + 1) == before + 1); /* not beyond the limit */
        assert_int_equal(sp__gives_up(tries, SP__NEVER), tries >= 7);
        assert_false(sp__gives_up(tries, after + pause));
    }
}

struct wait {
    struct part part;
    sp_status status;
    double took;
};

/* No worker is ever to be had. */
static void *wait_in_vain(void *context)
{
    struct wait *wait = context;
    begin(&wait->part, SP_OS_ERROR, NEVER_LENT);
    enlist(&wait->part);
    use_up_stack();
    sp_future *future = queued(&wait->part);
    double begin = sp_monotonic();
    wait->status = sp_result(future, NULL, SP_FOREVER);
    wait->took = sp_monotonic() - begin;
    sp_future_release(future);
    dismiss();
    return NULL;
}

static void *read_in_vain(void *context)
{
    struct wait *wait = context;
    begin(&wait->part, SP_OS_ERROR, NEVER_LENT);
    enlist(&wait->part);
    use_up_stack();
    sp_future *future = queued(&wait->part);
    sp_completion *set = sp_as_completed(&future, 1, SP_FOREVER);
    wait->status = sp_next(set) == NULL ? sp_completion_status(set) : SP_OK;
    sp_completion_release(set);
    sp_future_release(future);
    dismiss();
    return NULL;
}

/* One of the two runs, and ends when another worker was refused so often that a wait for what is queued is given up. */
static sp_status lend_after_nine(struct sp__owner *owner, struct sp__loan *loan)
{
    sp_status status = lend(owner, loan);
    if (part_of(owner)->asked == 9)
        run(part_of(owner)->runs[0]);
    return status;
}

static void *read_what_runs(void *context)
{
    struct wait *wait = context;
    begin(&wait->part, SP_OS_ERROR, NEVER_LENT);
    wait->part.owner.lend = lend_after_nine;
    enlist(&wait->part);
    use_up_stack();
    sp_future *futures[2] = { queued(&wait->part), running(&wait->part) };
    wait->part.runs[0] = futures[1];
    sp_completion *set = sp_as_completed(futures, 2, SP_FOREVER);
    wait->status = sp_next(set) == futures[1] ? SP_OK : sp_completion_status(set);
    sp_completion_release(set);
    sp_release_all(futures, 2);
    dismiss();
    return NULL;
}

static void where_no_worker_is_to_be_had_a_wait_ends_after_a_second(void **state)
{
    (void)state;
    struct wait result, next, runs;
    pthread_t threads[] = { test_thread(wait_in_vain, &result), test_thread(read_in_vain, &next),
                            test_thread(read_what_runs, &runs) };
    for (int i = 0; i < 3; i++)
        test_join(threads[i]);
    assert_int_equal(result.status, SP_OS_ERROR);
    assert_int_equal(result.part.asked, 7);
    assert_true(result.took >= 1.27 && result.took < 20);
    assert_int_equal(next.status, SP_OS_ERROR);
    assert_int_equal(next.part.asked, 8);
    assert_int_equal(runs.status, SP_OK); /* what runs ends without another worker */
}

static void a_wait_with_a_limit_does_not_ask_beyond_it(void **state)
{
    (void)state;
    struct part part;
    for (int reads = 0; reads < 2; reads++) {
        begin(&part, SP_OS_ERROR, NEVER_LENT);
        enlist(&part);
        sp_future *future = queued(&part);
        if (reads) {
            sp_auto(sp_completion) set = sp_as_completed(&future, 1, 0.025);
            assert_null(sp_next(set));
            assert_int_equal(sp_completion_status(set), SP_TIMEOUT);
        } else {
            assert_int_equal(sp_result(future, NULL, 0.025), SP_TIMEOUT);
        }
        assert_in_range(part.asked, 1, 2); /* at once and after 10 ms, then 20 more are too many */
        assert_int_equal(part.claimed, 0);
        assert_int_equal(part.given_back, 0);
        sp_future_release(future);
        dismiss();
    }
}

/* Each of them is refused once: the next one is asked for as soon as the first. */
static void a_worker_that_was_to_be_had_makes_up_for_refusals(void **state)
{
    enum { N = 8 };
    (void)state;
    struct part part;
    sp_future *futures[N];
    begin(&part, SP_OS_ERROR, 0);
    enlist(&part);
    use_up_stack();
    for (int i = 0; i < N; i++)
        futures[i] = part.runs[i] = queued(&part);
    sp_auto(sp_completion) set = sp_as_completed(futures, N, SP_FOREVER);
    for (unsigned i = 0; i < N; i++) {
        part.refusals = 1;
        assert_ptr_equal(sp_next(set), futures[i]);
        assert_int_equal(part.asked, 2 * (i + 1));
        assert_int_equal(part.given_back, i + 1);
    }
    assert_null(sp_next(set));
    sp_release_all(futures, N);
    dismiss();
}

static void *run_in_a_moment(void *future)
{
    sp_sleep(0.06);
    run(future);
    return NULL;
}

static void for_what_runs_a_worker_that_is_not_to_be_had_is_asked_for_once(void **state)
{
    (void)state;
    struct part part;
    begin(&part, SP_OS_ERROR, NEVER_LENT);
    enlist(&part);
    sp_future *future = running(&part);
    pthread_t other = test_thread(run_in_a_moment, future);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(part.asked, 1);
    test_join(other);
    sp_future_release(future);
    dismiss();
}

/* ---- what it is told ---- */

static void a_wait_says_whether_it_has_a_limit(void **state)
{
    static const double limits[] = { 20.0, SP_FOREVER };
    (void)state;
    struct part part;
    for (int way = 0; way < 4; way++) {
        begin(&part, SP_OK, 0);
        enlist(&part);
        use_up_stack();
        sp_future *future = part.runs[0] = queued(&part);
        if (way / 2 == 0) {
            assert_int_equal(sp_result(future, NULL, limits[way % 2]), SP_OK);
        } else {
            sp_auto(sp_completion) set = sp_as_completed(&future, 1, limits[way % 2]);
            assert_ptr_equal(sp_next(set), future);
        }
        assert_int_equal(part.was_for_ever, way % 2);
        assert_int_equal(part.asked, 1);
        assert_int_equal(part.given_back, 1);
        assert_int_equal(part.claimed, 0);
        sp_future_release(future);
        dismiss();
    }
}

/* An initializer is told that nobody will ever come. */
static void a_wait_that_the_pool_calls_a_deadlock_ends_at_once(void **state)
{
    (void)state;
    struct part part;
    begin(&part, SP_DEADLOCK, NEVER_LENT);
    enlist(&part);
    sp__self()->helps = false;
    sp_future *future = queued(&part);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_DEADLOCK);
    assert_int_equal(part.asked, 1);
    sp_auto(sp_completion) set = sp_as_completed(&future, 1, SP_FOREVER);
    assert_null(sp_next(set));
    assert_int_equal(sp_completion_status(set), SP_DEADLOCK);
    assert_int_equal(part.asked, 2);
    assert_false(sp_future_done(future));
    sp_future_release(future);
    dismiss();
}

/* For a set with a limit the worker lends once, and for what is done not at all. */
static void a_set_with_a_limit_is_lent_for_as_a_whole(void **state)
{
    (void)state;
    struct part part;
    begin(&part, SP_OK, 0);
    enlist(&part);
    sp_future *futures[3] = { queued(&part), queued(&part), sp_future_new(&pass_sp_task, &(int){ 1 }) };
    part.runs[0] = futures[0];
    assert_int_equal(sp_wait(futures, 2, SP_ALL_COMPLETED, 0.01), SP_TIMEOUT);
    assert_int_equal(part.asked, 1);
    assert_int_equal(part.given_back, 1);
    assert_ptr_equal(part.was_awaited, futures);
    run(futures[1]);
    assert_int_equal(sp_wait(futures, 3, SP_ALL_COMPLETED, 0.01), SP_TIMEOUT);
    assert_int_equal(part.asked, 1);
    sp_release_all(futures, 3);
    dismiss();
}

static void without_memory_for_a_loan_it_is_asked_for_a_moment_later(void **state)
{
    (void)state;
    struct part part;
    begin(&part, SP_OK, 0);
    enlist(&part);
    sp_future *future = part.runs[0] = queued(&part);
    sp_auto(sp_completion) set = sp_as_completed(&future, 1, 5.0);
    sp__fault_arm(1, false);
    sp_future *next = sp_next(set);
    assert_int_equal(sp__fault_disarm(), 1);
    assert_ptr_equal(next, future);
    assert_int_equal(part.asked, 1);
    sp_future_release(future);
    dismiss();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_is_asked_for_less_and_less_often),
        cmocka_unit_test(where_no_worker_is_to_be_had_a_wait_ends_after_a_second),
        cmocka_unit_test(a_wait_with_a_limit_does_not_ask_beyond_it),
        cmocka_unit_test(a_worker_that_was_to_be_had_makes_up_for_refusals),
        cmocka_unit_test(for_what_runs_a_worker_that_is_not_to_be_had_is_asked_for_once),
        cmocka_unit_test(a_wait_says_whether_it_has_a_limit),
        cmocka_unit_test(a_wait_that_the_pool_calls_a_deadlock_ends_at_once),
        cmocka_unit_test(a_set_with_a_limit_is_lent_for_as_a_whole),
        cmocka_unit_test(without_memory_for_a_loan_it_is_asked_for_a_moment_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
