/* sp_wait behaves like concurrent.futures.wait.  It returns no sets: sp_future_done() says of each on which side it is.

   SPDX-License-Identifier: MIT */
#include "conformance/futures.h"

static sp_executor *pool; /* of five workers, as in the original */

enum { WORKERS = 5 };

static int set_up(void **state)
{
    (void)state;
    gate_close();
    pool = sp_thread_pool(.max_workers = WORKERS);
    return pool == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    gate_open();
    sp_status status = sp_shutdown(pool);
    sp_executor_release(pool);
    return (int)status;
}

/* Which of them are done, as a number whose bit i is the answer of future i. */
static unsigned done_of(sp_future *const *futures, size_t n)
{
    unsigned done = 0;
    for (size_t i = 0; i < n; i++)
        done |= (unsigned)sp_future_done(futures[i]) << i;
    return done;
}

static void one_that_stands_twice_in_the_set(void **state)
{
    (void)state;
    sp_future *future = sp_submit(pool, pass, 3), *twice[] = { future, future };
    assert_int_equal(sp_wait(twice, 2, SP_ALL_COMPLETED, 0.01), SP_TIMEOUT);
    gate_open();
    assert_int_equal(sp_wait(twice, 2, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    assert_int_equal(done_of(twice, 2), 3);
    assert_int_equal(sp_wait(twice, 2, SP_FIRST_COMPLETED, SP_FOREVER), SP_OK);
    sp_future_release(future);
}

static void the_first_ends_the_wait(void **state)
{
    (void)state;
    sp_future *futures[] = { sp_submit(pool, pass, 1), sp_submit(pool, mul, 21, 2), sp_submit(pool, pass, 2) };
    assert_int_equal(sp_wait(futures, 3, SP_FIRST_COMPLETED, SP_FOREVER), SP_OK);
    assert_int_equal(done_of(futures, 3), 2);
    sp_release_all(futures, 3);
}

static void one_that_is_done_already_ends_the_wait_for_the_first(void **state)
{
    (void)state;
    sp_future *waits = sp_submit(pool, pass, 1);
    sp_future *const done[] = { cancelled_future(), successful_future(), failed_future() };
    for (int i = 0; i < 3; i++) {
        sp_future *futures[] = { waits, done[i] };
        assert_int_equal(sp_wait(futures, 2, SP_FIRST_COMPLETED, SP_FOREVER), SP_OK);
        assert_int_equal(done_of(futures, 2), 2);
    }
    sp_release_all(done, 3);
    sp_future_release(waits);
}

static void a_success_does_not_end_the_wait_for_an_error(void **state)
{
    (void)state;
    sp_auto(sp_future) told = pending_future();
    sp_future *futures[] = { sp_submit(pool, mul, 2, 21), told, sp_submit(pool, pass, 1) };
    assert_int_equal(sp_result(futures[0], NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_wait(futures, 3, SP_FIRST_ERROR, 0.01), SP_TIMEOUT);
    fail_with(told, "now");
    assert_int_equal(sp_wait(futures, 3, SP_FIRST_ERROR, SP_FOREVER), SP_OK);
    assert_int_equal(done_of(futures, 3), 3);
    assert_non_null(sp_future_error(told));
    sp_future_release(futures[0]);
    sp_future_release(futures[2]);
}

static void the_first_error_comes_while_it_is_waited_for(void **state)
{
    (void)state;
    sp_future *futures[] = { successful_future(), cancelled_future(), sp_submit(pool, divide, 21, 0),
                             sp_submit(pool, pass, 1) };
    assert_int_equal(sp_wait(futures, 4, SP_FIRST_ERROR, SP_FOREVER), SP_OK);
    assert_int_equal(done_of(futures, 4), 7); /* Python does not count the cancelled one until a worker has met it */
    assert_int_equal(sp_result(futures[2], NULL, SP_NOWAIT), SP_VALUE_ERROR);
    sp_release_all(futures, 4);
}

static void one_that_failed_before_ends_the_wait_for_an_error(void **state)
{
    (void)state;
    sp_future *futures[] = { failed_future(), sp_submit(pool, pass, 1) };
    assert_int_equal(sp_wait(futures, 2, SP_FIRST_ERROR, SP_FOREVER), SP_OK);
    assert_int_equal(done_of(futures, 2), 1);
    sp_release_all(futures, 2);
}

static void cancelled_is_no_error_and_all_done_ends_it(void **state)
{
    (void)state;
    sp_future *futures[] = { cancelled_future(), sp_submit(pool, pass, 1) };
    assert_int_equal(sp_wait(futures, 2, SP_FIRST_ERROR, 0.01), SP_TIMEOUT);
    gate_open();
    assert_int_equal(sp_wait(futures, 2, SP_FIRST_ERROR, SP_FOREVER), SP_OK);
    assert_int_equal(done_of(futures, 2), 3);
    sp_release_all(futures, 2);
}

static void all_are_waited_for_however_they_end(void **state)
{
    (void)state;
    sp_future *futures[] = { successful_future(), cancelled_future(), failed_future(), sp_submit(pool, divide, 2, 0),
                             sp_submit(pool, mul, 2, 21) };
    assert_int_equal(sp_wait(futures, 5, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    assert_int_equal(done_of(futures, 5), 31);
    assert_int_equal(sp_result(futures[3], NULL, SP_NOWAIT), SP_VALUE_ERROR);
    sp_release_all(futures, 5);
}

static void when_the_time_is_up_some_are_done(void **state)
{
    (void)state;
    sp_future *futures[] = { cancelled_future(), failed_future(), successful_future(), sp_submit(pool, mul, 6, 7),
                             sp_submit(pool, pass, 1) };
    assert_int_equal(sp_result(futures[3], NULL, SP_FOREVER), SP_OK);
    double begin = sp_monotonic();
    assert_int_equal(sp_wait(futures, 5, SP_ALL_COMPLETED, 0.02), SP_TIMEOUT);
    assert_true(sp_monotonic() - begin >= 0.02);
    assert_int_equal(done_of(futures, 5), 15);
    sp_release_all(futures, 5);
}

enum { CALLS = 100 };

static void many_that_end_while_the_wait_begins(void **state)
{
    (void)state;
    sp_future *futures[CALLS];
    for (long round = test_count(20); round > 0; round--) {
        gate_close();
        for (int i = 0; i < CALLS; i++)
            futures[i] = sp_submit(pool, pass, i);
        gate_open();
        assert_int_equal(sp_wait(futures, CALLS, round % 2 ? SP_ALL_COMPLETED : SP_FIRST_ERROR, SP_FOREVER), SP_OK);
        for (int i = 0; i < CALLS; i++) {
            int value = -1;
            assert_int_equal(sp_result(futures[i], &value, SP_NOWAIT), SP_OK);
            assert_int_equal(value, 2 * i);
        }
        sp_release_all(futures, CALLS);
    }
}

#define WAIT_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(one_that_stands_twice_in_the_set),
        WAIT_TEST(the_first_ends_the_wait),
        WAIT_TEST(one_that_is_done_already_ends_the_wait_for_the_first),
        WAIT_TEST(a_success_does_not_end_the_wait_for_an_error),
        WAIT_TEST(the_first_error_comes_while_it_is_waited_for),
        WAIT_TEST(one_that_failed_before_ends_the_wait_for_an_error),
        WAIT_TEST(cancelled_is_no_error_and_all_done_ends_it),
        WAIT_TEST(all_are_waited_for_however_they_end),
        WAIT_TEST(when_the_time_is_up_some_are_done),
        WAIT_TEST(many_that_end_while_the_wait_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
