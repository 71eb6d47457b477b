/* Who is called for a task, who is started for one, and how the workers are counted.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <pthread.h>

#include <spool.h>

#include "executor/pool.h"

static sp_executor *pool; /* of the test that runs */

static struct sp__pool *inside(void)
{
    return sp__pool_of(pool);
}

static uint64_t crew(void)
{
    return sp__load_seq_cst(&inside()->crew);
}

static sp_executor_statistics stats(void)
{
    sp_executor_statistics seen;
    sp_executor_stats(pool, &seen);
    return seen;
}

static void end_pool(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(crew(), 0); /* all have come out of it who went in */
    assert_int_equal(sp__load_relaxed(&inside()->starting), 0);
    sp_executor_release(pool);
}

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

typedef sp_event *event_pointer;

static sp_status hold(const event_pointer *until, uint64_t *ret_id)
{
    *ret_id = sp__self()->thread_runner->id;
    sp_event_wait(*until, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold, event_pointer, uint64_t);

static sp_future *begin_to_hold(sp_event *until)
{
    sp_event_clear(until);
    sp_future *holder = sp_submit(pool, hold, until);
    test_await(sp_future_running(holder));
    return holder;
}

/* Returns by which thread. */
static uint64_t end_holding(sp_future *holder, sp_event *until)
{
    uint64_t id = 0;
    sp_event_set(until);
    assert_int_equal(sp_result(holder, &id, 20.0), SP_OK);
    sp_future_release(holder);
    return id;
}

static void assert_is_run(void)
{
    sp_auto(sp_future) future = sp_submit(pool, pass, 1);
    assert_int_equal(sp_result(future, NULL, 20.0), SP_OK);
}

/* ---- calling ---- */

static sp_event first_may_end, second_may_end, third_may_end;

/* As many workers asleep as there may be. */
static void begin_pool_with_sleepers(void)
{
    pool = sp_thread_pool(.max_workers = 2);
    sp_future *first = begin_to_hold(&first_may_end), *second = begin_to_hold(&second_may_end);
    end_holding(first, &first_may_end);
    end_holding(second, &second_may_end);
    test_await(sp__crew_asleep(crew()) == 2 && sp__crew_awake(crew()) == 0);
}

/* Who submits while another searches calls nobody; the one that searches calls the next when it has found something. */
static void a_worker_that_finds_a_task_calls_another_for_the_next(void **state)
{
    (void)state;
    begin_pool_with_sleepers();
    sp__crew_enter(&inside()->crew); /* one that searches */
    sp_event_clear(&first_may_end);
    sp_auto(sp_future) first = sp_submit(pool, hold, &first_may_end);
    sp_auto(sp_future) second = sp_submit(pool, pass, 2);
    assert_int_equal(sp__crew_asleep(crew()), 2); /* it is relied on */
    sp__crew_lie_down(&inside()->crew, true, true);
    sp__crew_get_up(&inside()->crew, false); /* it is no more */
    assert_int_equal(sp__call_worker(inside()), 0);
    assert_int_equal(sp_result(second, NULL, 20.0), SP_OK);
    test_await(sp_future_running(first)); /* by the one that called */
    sp_event_set(&first_may_end);
    assert_int_equal(sp_result(first, NULL, 20.0), SP_OK);
    end_pool();
}

/* So that a pool with little to do keeps few workers, and those that have the data at hand. */
static void the_worker_that_lay_down_last_is_called(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 3);
    for (int i = 0; i < 20; i++) {
        sp_future *holders[] = { begin_to_hold(&first_may_end), begin_to_hold(&second_may_end),
                                 begin_to_hold(&third_may_end) };
        end_holding(holders[0], &first_may_end);
        test_await(sp__crew_asleep(crew()) == 1);
        end_holding(holders[2], &third_may_end);
        test_await(sp__crew_asleep(crew()) == 2);
        uint64_t last = end_holding(holders[1], &second_may_end);
        test_await(sp__crew_asleep(crew()) == 3);
        assert_int_equal(end_holding(begin_to_hold(&first_may_end), &first_may_end), last);
        test_await(sp__crew_asleep(crew()) == 3);
    }
    end_pool();
}

static void a_worker_without_work_is_not_counted_as_one_whose_task_waits(void **state)
{
    (void)state;
    begin_pool_with_sleepers();
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(sp__load_seq_cst(&inside()->parked), 0);
        sched_yield();
    }
    end_pool();
}

/* ---- starting ---- */

static sp_event initializer_may_end;
static uint32_t begun, slow; /* atomic: initializers that have begun; which one of them is slow */

static sp_status begin_slowly_once(void *arg)
{
    (void)arg;
    if (sp__add_seq_cst(&begun, 1) + 1 == sp__load_seq_cst(&slow))
        sp_event_wait(&initializer_may_end, SP_FOREVER);
    return SP_OK;
}

static void begin_pool_with_slow(unsigned number, unsigned max_workers)
{
    sp__store_seq_cst(&begun, 0);
    sp__store_seq_cst(&slow, number);
    sp_event_clear(&initializer_may_end);
    pool = sp_thread_pool(.max_workers = max_workers, .initializer = begin_slowly_once);
}

static void one_task_has_one_worker_started(void **state)
{
    (void)state;
    begin_pool_with_slow(1, 8);
    sp_auto(sp_future) future = sp_submit(pool, pass, 1);
    assert_int_equal(stats().workers, 1);
    assert_int_equal(sp__call_worker(inside()), 0); /* as somebody does who finds it queued */
    assert_int_equal(stats().workers, 1);
    sp_event_set(&initializer_may_end);
    assert_int_equal(sp_result(future, NULL, 20.0), SP_OK);
    assert_int_equal(sp__load_seq_cst(&begun), 1);
    end_pool();
}

static void each_task_has_a_worker_started_by_one_call(void **state)
{
    (void)state;
    enum { N = 4 };
    sp_future *futures[N];
    begin_pool_with_slow(1, N);
    sp__crew_enter(&inside()->crew); /* as in a_worker_that_finds_a_task_calls_another_for_the_next */
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, pass, i);
    assert_int_equal(stats().workers, 0);
    sp__crew_lie_down(&inside()->crew, true, true);
    sp__crew_get_up(&inside()->crew, false);
    assert_int_equal(sp__call_worker(inside()), 0);
    assert_in_range(stats().workers, 2, N); /* the second has perhaps run all by now */
    assert_int_equal(sp_wait(futures, N, SP_ALL_COMPLETED, 20.0), SP_OK);
    sp_event_set(&initializer_may_end);
    sp_release_all(futures, N);
    end_pool();
}

/* A task that comes later than the initializer began does not wait for it, though no other task is queued. */
static void a_task_does_not_wait_for_an_initializer_that_was_begun_for_another(void **state)
{
    (void)state;
    begin_pool_with_slow(2, 4);
    sp_future *first = begin_to_hold(&first_may_end);
    sp_auto(sp_future) other = sp_submit(pool, pass, 1);
    test_await(sp__load_seq_cst(&begun) == 2);
    sp_future *second = begin_to_hold(&second_may_end); /* its worker runs `other` as well */
    assert_int_equal(sp_result(other, NULL, 20.0), SP_OK);
    assert_is_run();
    assert_int_equal(stats().workers, 4);
    sp_event_set(&initializer_may_end);
    end_holding(first, &first_may_end);
    end_holding(second, &second_may_end);
    end_pool();
}

static sp_future *awaited;
static sp_event awaited_is_known;
static sp_status awaited_status; /* written before initializer_ended is set */
static sp_event initializer_ended;

static sp_status wait_for_awaited(void *arg)
{
    (void)arg;
    if (sp__add_seq_cst(&begun, 1) > 0)
        return SP_OK;
    sp_event_wait(&awaited_is_known, SP_FOREVER);
    awaited_status = sp_future_wait(awaited, 20.0) ? SP_OK : SP_TIMEOUT;
    sp_event_set(&initializer_ended);
    return SP_OK;
}

static void the_one_task_that_an_initializer_waits_for_has_another_worker(void **state)
{
    (void)state;
    sp__store_seq_cst(&begun, 0);
    pool = sp_thread_pool(.max_workers = 2, .initializer = wait_for_awaited);
    awaited = sp_submit(pool, pass, 1);
    sp_event_set(&awaited_is_known);
    assert_true(sp_event_wait(&initializer_ended, SP_FOREVER));
    assert_int_equal(awaited_status, SP_OK);
    sp_future_release(awaited);
    end_pool();
}

/* A worker whose initializer is over when the permit is another's lies down. */
static sp_future *inner;

static sp_status wait_in_vain_and_hold(const event_pointer *until, sp_status *ret_inner)
{
    inner = sp_submit(pool, pass, 6);
    *ret_inner = sp_future_wait(inner, 0.02) ? SP_OK : SP_TIMEOUT;
    sp_event_wait(*until, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_in_vain_and_hold, event_pointer, sp_status);

static void a_worker_takes_no_permit_that_is_in_use(void **state)
{
    (void)state;
    begin_pool_with_slow(2, 1);
    sp_event_clear(&first_may_end);
    sp_auto(sp_future) waiter = sp_submit(pool, wait_in_vain_and_hold, &first_may_end);
    test_await(sp__load_seq_cst(&begun) == 2);
    test_await(sp__crew_awake(crew()) == 1); /* it has waited, and goes on */
    sp_event_set(&initializer_may_end);
    test_await(sp__crew_asleep(crew()) == 1);
    assert_int_equal(sp__crew_awake(crew()), 1);
    assert_false(sp_future_done(inner));
    sp_event_set(&first_may_end);
    sp_status status = SP_OK;
    assert_int_equal(sp_result(waiter, &status, 20.0), SP_OK);
    assert_int_equal(status, SP_TIMEOUT);
    assert_int_equal(sp_result(inner, NULL, 20.0), SP_OK);
    sp_future_release(inner);
    end_pool();
}

/* ---- ending ---- */

static sp_status submit_three(const int *in, sp_none *out)
{
    (void)out;
    for (int i = 0; i < 3; i++)
        if (sp_post(pool, pass, *in + i) != SP_OK)
            return SP_RUNTIME_ERROR;
    return SP_OK;
}
SP_TASK(submit_three, int, sp_none);

static void what_workers_did_that_have_ended_is_counted(void **state)
{
    (void)state;
    enum { ROUNDS = 40 };
    pool = sp_thread_pool(.max_workers = 1, .idle_seconds = 0.001);
    for (int i = 1; i <= ROUNDS; i++) {
        sp_auto(sp_future) future = sp_submit(pool, submit_three, i);
        assert_int_equal(sp_result(future, NULL, 20.0), SP_OK);
        test_await(stats().workers == 0);
        assert_int_equal(stats().submitted, 4 * i);
        assert_int_equal(stats().completed, 4 * i);
    }
    assert_int_equal(inside()->deque_count, 1); /* each took over that of the one before */
    end_pool();
}

/* Each worker that ends leaves a deque, and each that comes takes one. */
static sp_status submit_and_hold(const event_pointer *until, sp_none *out)
{
    (void)out;
    sp_status status = sp_post(pool, pass, 1);
    sp_event_wait(*until, SP_FOREVER);
    return status;
}
SP_TASK(submit_and_hold, event_pointer, sp_none);

static void deques_of_workers_that_have_ended_are_used_again(void **state)
{
    (void)state;
    enum { N = 5 };
    pool = sp_thread_pool(.max_workers = N, .idle_seconds = 0.001);
    for (int round = 0; round < 4; round++) {
        sp_future *futures[N];
        sp_event_clear(&first_may_end);
        for (int i = 0; i < N; i++)
            futures[i] = sp_submit(pool, submit_and_hold, &first_may_end);
        for (int i = 0; i < N; i++)
            test_await(sp_future_running(futures[i]));
        sp_event_set(&first_may_end);
        assert_int_equal(sp_wait(futures, N, SP_ALL_COMPLETED, 20.0), SP_OK);
        sp_release_all(futures, N);
        test_await(stats().workers == 0);
    }
    assert_int_equal(inside()->deque_count, N);
    end_pool();
}

static sp_status end_thread(const event_pointer *until, sp_none *out)
{
    (void)out;
    sp_event_wait(*until, SP_FOREVER);
    pthread_exit(NULL);
}
SP_TASK(end_thread, event_pointer, sp_none);

static void a_worker_that_is_ended_in_a_task_has_a_successor(void **state)
{
    (void)state;
    pool = sp_thread_pool(.max_workers = 1);
    for (int i = 0; i < 3; i++) {
        sp_event_clear(&first_may_end);
        sp_auto(sp_future) ends = sp_submit(pool, end_thread, &first_may_end);
        test_await(sp_future_running(ends));
        sp_auto(sp_future) behind = sp_submit(pool, pass, 1);
        sp_event_set(&first_may_end);
        assert_int_equal(sp_result(behind, NULL, 20.0), SP_OK);
        assert_int_equal(sp_result(ends, NULL, 20.0), SP_RUNTIME_ERROR);
        test_await(stats().workers == 1);
    }
    assert_true(sp_executor_wait_idle(pool, 20.0));
    end_pool();
}

static sp_status second_fails(void *arg)
{
    (void)arg;
    return sp__add_seq_cst(&begun, 1) == 1 ? SP_USER_ERROR : SP_OK;
}

static void a_worker_of_a_broken_pool_ends_when_its_task_is_over(void **state)
{
    (void)state;
    sp__store_seq_cst(&begun, 0);
    pool = sp_thread_pool(.max_workers = 2, .initializer = second_fails);
    sp_future *holder = begin_to_hold(&first_may_end);
    sp_auto(sp_future) other = sp_submit(pool, pass, 1);
    assert_int_equal(sp_result(other, NULL, 20.0), SP_BROKEN_POOL);
    end_holding(holder, &first_may_end);
    test_await(stats().workers == 0);
    end_pool();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_finds_a_task_calls_another_for_the_next),
        cmocka_unit_test(the_worker_that_lay_down_last_is_called),
        cmocka_unit_test(a_worker_without_work_is_not_counted_as_one_whose_task_waits),
        cmocka_unit_test(one_task_has_one_worker_started),
        cmocka_unit_test(each_task_has_a_worker_started_by_one_call),
        cmocka_unit_test(a_task_does_not_wait_for_an_initializer_that_was_begun_for_another),
        cmocka_unit_test(the_one_task_that_an_initializer_waits_for_has_another_worker),
        cmocka_unit_test(a_worker_takes_no_permit_that_is_in_use),
        cmocka_unit_test(what_workers_did_that_have_ended_is_counted),
        cmocka_unit_test(deques_of_workers_that_have_ended_are_used_again),
        cmocka_unit_test(a_worker_that_is_ended_in_a_task_has_a_successor),
        cmocka_unit_test(a_worker_of_a_broken_pool_ends_when_its_task_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
