/* sp_as_completed behaves like concurrent.futures.as_completed.

   SPDX-License-Identifier: MIT */
#include "conformance/futures.h"

static bool is_one_of(const sp_future *future, sp_future *const *futures, int n)
{
    for (int i = 0; i < n; i++)
        if (futures[i] == future)
            return true;
    return false;
}

/* Take all that come; each must be done, of the set, and new. */
static int take(sp_completion *set, sp_future *const *futures, int n)
{
    sp_future *taken[8];
    int count = 0;
    for (sp_future *future; (future = sp_next(set)) != NULL; count++) {
        assert_true(count < 8);
        assert_true(sp_future_done(future));
        assert_true(is_one_of(future, futures, n));
        assert_false(is_one_of(future, taken, count));
        taken[count] = future;
    }
    return count;
}

static void all_come_however_they_end(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 5);
    sp_future *futures[] = { cancelled_future(), failed_future(), successful_future(), sp_submit(pool, mul, 2, 21),
                             sp_submit(pool, mul, 7, 6) };
    sp_auto(sp_completion) set = sp_as_completed(futures, 5, SP_FOREVER);
    assert_int_equal(take(set, futures, 5), 5);
    assert_int_equal(sp_completion_status(set), SP_OK);
    sp_release_all(futures, 5);
}

static void what_is_done_comes_although_the_time_is_up(void **state)
{
    (void)state;
    gate_close();
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 5);
    sp_future *futures[] = { cancelled_future(), failed_future(), successful_future(), sp_submit(pool, pass, 2) };
    sp_completion *set = sp_as_completed(futures, 4, SP_NOWAIT);
    assert_int_equal(take(set, futures, 3), 3);
    assert_int_equal(sp_completion_status(set), SP_TIMEOUT);
    gate_open();
    sp_completion_release(set);
    set = sp_as_completed(futures, 4, 60.0);
    assert_int_equal(take(set, futures, 4), 4);
    assert_int_equal(sp_completion_status(set), SP_OK);
    sp_completion_release(set);
    sp_release_all(futures, 4);
}

static void one_that_stands_thrice_comes_once(void **state)
{
    (void)state;
    gate_close();
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 5);
    sp_future *future = sp_submit(pool, pass, 2), *thrice[] = { future, future, future };
    sp_auto(sp_completion) set = sp_as_completed(thrice, 3, SP_FOREVER);
    gate_open();
    assert_int_equal(take(set, thrice, 1), 1);
    assert_int_equal(sp_completion_status(set), SP_OK);
    sp_future_release(future);
}

/* ---- references ---- */

static uint32_t dropped; /* atomic */

static void count_drop(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&dropped, 1);
}

static sp_status own(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK_OWNING(own, int, int, count_drop, NULL);

/* Python's iterator lets go of each future that it yields.  Ours lends: what came is there as long as the set. */
static void the_set_keeps_its_futures_until_it_is_released(void **state)
{
    (void)state;
    enum { N = 8 };
    sp_future *futures[N];
    dropped = 0;
    for (int i = 0; i < N; i++)
        futures[i] = sp_future_new(&own_sp_task, &i);
    sp_completion *set = sp_as_completed(futures, N, SP_FOREVER);
    for (int i = 0; i < N; i++) {
        end_with(futures[i], i);
        sp_future_release(futures[i]); /* the caller's reference: the set has its own */
    }
    sp_future *came[N];
    for (int i = 0; i < N; i++)
        came[i] = sp_next(set);
    assert_null(sp_next(set));
    assert_int_equal(dropped, 0);
    for (int i = 0; i < N; i++) {
        int value = -1;
        assert_int_equal(sp_result(came[i], &value, SP_NOWAIT), SP_OK);
        assert_int_equal(value, *(const int *)sp_future_arg(came[i]));
    }
    sp_completion_release(set);
    assert_int_equal(dropped, N);
}

static void a_set_that_is_left_early_keeps_nothing(void **state)
{
    (void)state;
    int zero = 0;
    dropped = 0;
    sp_future *futures[] = { sp_future_new(&own_sp_task, &zero), sp_future_new(&own_sp_task, &zero) };
    sp_completion *set = sp_as_completed(futures, 2, SP_NOWAIT);
    assert_null(sp_next(set));
    sp_completion_release(set);
    assert_int_equal(dropped, 0);
    end_with(futures[0], 1); /* nobody listens any more */
    sp_release_all(futures, 2);
    assert_int_equal(dropped, 2);
}

static void the_status_tells_that_some_are_left(void **state)
{
    (void)state;
    sp_future *futures[] = { cancelled_future(), pending_future(), running_future(), successful_future() };
    sp_auto(sp_completion) set = sp_as_completed(futures, 4, SP_NOWAIT);
    assert_int_equal(take(set, futures, 4), 2); /* of four: two are left */
    assert_int_equal(sp_completion_status(set), SP_TIMEOUT);
    assert_int_equal(sp_future_done(futures[1]) + sp_future_done(futures[2]), 0);
    sp_release_all(futures, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_come_however_they_end),
        cmocka_unit_test(what_is_done_comes_although_the_time_is_up),
        cmocka_unit_test(one_that_stands_thrice_comes_once),
        cmocka_unit_test(the_set_keeps_its_futures_until_it_is_released),
        cmocka_unit_test(a_set_that_is_left_early_keeps_nothing),
        cmocka_unit_test(the_status_tells_that_some_are_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
