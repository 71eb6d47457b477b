/* The inline pool: when its tasks run, and in which order; its end; what the system refuses.

   SPDX-License-Identifier: MIT */
#include "inline.h"

#include <errno.h>

#include "os/fault.h"

/* ---- when and where tasks run ---- */

static sp_status where(const sp_none *in, uint64_t *out)
{
    (void)in;
    *out = sp_thread_ident(sp_thread_current());
    return SP_OK;
}
SP_TASK(where, sp_none, uint64_t);

static void without_a_seed_a_task_runs_in_its_submit(void **state)
{
    (void)state;
    forget_order();
    pool = sp_inline_pool();
    for (int i = 0; i < 5; i++) {
        sp_auto(sp_future) future = sp_submit(pool, note, i);
        assert_true(sp_future_done(future));
        assert_int_equal(order[i], i);
        int value = -1;
        assert_int_equal(sp_result(future, &value, SP_NOWAIT), SP_OK);
        assert_int_equal(value, i + 1);
    }
    assert_int_equal(sp_post(pool, note, 9), SP_OK);
    assert_int_equal(order[5], 9);
    sp_auto(sp_future) here = sp_submit(pool, where);
    uint64_t ident;
    assert_int_equal(sp_result(here, &ident, SP_NOWAIT), SP_OK);
    assert_int_equal(ident, sp_thread_ident(sp_thread_current()));
    close_pool();
}

static void a_failure_is_the_futures(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2; seed++) {
        pool = sp_inline_pool(.seed = seed);
        sp_auto(sp_future) future = sp_submit(pool, note, -4);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_VALUE_ERROR);
        assert_string_equal(sp_future_error(future)->message, "-4 is negative");
        assert_string_equal(sp_future_error(future)->task, "note");
        close_pool();
    }
}

static void with_a_seed_nothing_runs_before_somebody_waits(void **state)
{
    (void)state;
    forget_order();
    pool = sp_inline_pool(.seed = 1);
    sp_auto(sp_future) future = sp_submit(pool, note, 1);
    int value = -1;
    assert_false(sp_future_done(future));
    assert_false(sp_future_running(future));
    assert_int_equal(sp_result(future, &value, SP_NOWAIT), SP_TIMEOUT);
    assert_int_equal(sp_wait(&future, 1, SP_ALL_COMPLETED, -1), SP_TIMEOUT);
    assert_int_equal(sp_wait(&future, 1, SP_FIRST_COMPLETED, SP_NOWAIT), SP_TIMEOUT);
    assert_false(sp_executor_wait_idle(pool, SP_NOWAIT));
    assert_int_equal(ran_so_far(), 0);
    assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 2);
    assert_true(sp_executor_wait_idle(pool, SP_NOWAIT));
    close_pool();
}

static void every_wait_for_a_future_runs_tasks(void **state)
{
    (void)state;
    enum { N = 8 };
    for (enum way way = RESULT; way < WAYS; way++) {
        forget_order();
        pool = sp_inline_pool(.seed = 11);
        sp_future *futures[N];
        for (int i = 0; i < N; i++)
            futures[i] = sp_submit(pool, note, i);
        size_t least = wait_in_this_way(way, futures, N), done = 0;
        for (int i = 0; i < N; i++)
            done += sp_future_done(futures[i]);
        assert_int_equal(done, ran_so_far());
        assert_true(done >= least);
        if (way == FIRST)
            assert_int_equal(done, 1); /* no more than was waited for */
        sp_release_all(futures, N);
        close_pool();
        assert_int_equal(ran_so_far(), N);
    }
}

static bool next_number(void *context, void *ret_arg)
{
    int *left = context;
    *(int *)ret_arg = *left;
    return (*left)-- > 0;
}

static void map_and_lazy_map_run_tasks(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        forget_order();
        pool = sp_inline_pool(.seed = seed);
        int in[5] = { 1, 2, 3, 4, 5 }, out[5], value, left = 6;
        assert_int_equal(sp_map(pool, note, in, out, 5, .chunksize = 2), SP_OK);
        assert_int_equal(ran_so_far(), 5);
        for (int i = 0; i < 5; i++)
            assert_int_equal(out[i], in[i] + 1);
        sp_auto(sp_mapping) mapping = sp_map_lazy(pool, note, next_number, &left, .buffersize = 4);
        for (int i = 6; i > 0; i--) {
            assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
            assert_int_equal(value, i + 1);
        }
        assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
        close_pool();
    }
}

/* Submits two more until it is 0. */
static sp_status spread(const int *in, int *out);
SP_TASK(spread, int, int);
static sp_status spread(const int *in, int *out)
{
    int unused;
    if (*in > 0)
        for (int i = 0; i < 2; i++)
            assert_int_equal(sp_post(pool, spread, *in - 1), SP_OK);
    *out = *in;
    return note(in, &unused);
}

static void idle_shutdown_and_release_run_everything(void **state)
{
    (void)state;
    for (int end = 0; end < 3; end++) {
        forget_order();
        pool = sp_inline_pool(.seed = 4);
        if (end < 2)
            assert_int_equal(sp_post(pool, spread, 4), SP_OK); /* what is submitted meanwhile included */
        else
            for (int i = 0; i < 31; i++)
                assert_int_equal(sp_post(pool, note, i), SP_OK);
        assert_int_equal(ran_so_far(), 0);
        if (end == 0)
            assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        else if (end == 1)
            assert_true(sp_executor_wait_idle(pool, 60.0) && sp_shutdown(pool) == SP_OK);
        sp_executor_release(pool);
        assert_int_equal(ran_so_far(), 31);
    }
}

static sp_status take_time(const int *in, int *out)
{
    double begin = sp_monotonic();
    while (sp_monotonic() - begin < 0.002)
        continue;
    return note(in, out);
}
SP_TASK(take_time, int, int);

static void a_time_limit_is_looked_at_between_tasks(void **state)
{
    (void)state;
    enum { N = 50 };
    forget_order();
    pool = sp_inline_pool(.seed = 2);
    sp_future *futures[N];
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, take_time, i);
    assert_int_equal(sp_wait(futures, N, SP_ALL_COMPLETED, 0.001), SP_TIMEOUT);
    assert_int_equal(ran_so_far(), 1);
    assert_false(sp_executor_wait_idle(pool, 0.001));
    assert_true(ran_so_far() <= 2); /* the time may be up before the first */
    assert_int_equal(sp_wait(futures, N, SP_FIRST_ERROR, 0.001), SP_TIMEOUT);
    assert_true(ran_so_far() <= 3);
    assert_int_equal(sp_wait(futures, N, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    sp_release_all(futures, N);
    close_pool();
}

/* ---- the order ---- */

static void run_with_seed(uint64_t seed, int *ret_order, int n)
{
    forget_order();
    sp_executor *mine = pool = sp_inline_pool(.seed = seed);
    for (int i = 0; i < n; i++)
        assert_int_equal(sp_post(mine, note, i), SP_OK);
    assert_true(sp_executor_wait_idle(mine, SP_FOREVER));
    sp_executor_release(mine);
    assert_int_equal(ran_so_far(), n);
    memcpy(ret_order, order, (size_t)n * sizeof *order);
}

static void the_order_is_the_seeds(void **state)
{
    (void)state;
    enum { N = 40, SEEDS = 20 };
    int first[SEEDS][N], again[N];
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_with_seed(seed, first[seed - 1], N);
        run_with_seed(seed, again, N);
        assert_memory_equal(first[seed - 1], again, sizeof again);
        bool seen[N] = { false };
        for (int i = 0; i < N; i++)
            seen[again[i]] = true;
        for (int i = 0; i < N; i++)
            assert_true(seen[i]);
        for (uint64_t other = 1; other < seed; other++)
            assert_memory_not_equal(first[seed - 1], first[other - 1], sizeof again);
    }
}

static void every_order_of_three_comes_up(void **state)
{
    (void)state;
    bool seen[27] = { false };
    int found = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        int three[3];
        run_with_seed(seed, three, 3);
        int number = 9 * three[0] + 3 * three[1] + three[2];
        found += !seen[number];
        seen[number] = true;
    }
    assert_int_equal(found, 6);
}

static void the_order_is_the_same_with_nested_submits(void **state)
{
    (void)state;
    int first[31];
    for (int round = 0; round < 2; round++) {
        forget_order();
        pool = sp_inline_pool(.seed = 77);
        sp_auto(sp_future) future = sp_submit(pool, spread, 4);
        assert_true(sp_future_wait(future, SP_FOREVER));
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        close_pool();
        if (round == 0)
            memcpy(first, order, sizeof first);
        else
            assert_memory_equal(first, order, sizeof first);
    }
}

/* ---- cancel and shutdown ---- */

static void count_call(sp_future *future, void *context)
{
    assert_true(sp_future_done(future));
    ++*(int *)context;
}

static void cancelled_tasks_never_run(void **state)
{
    (void)state;
    forget_order();
    int calls = 0;
    pool = sp_inline_pool(.seed = 6);
    sp_auto(sp_future) one = sp_submit(pool, note, 1);
    sp_auto(sp_future) two = sp_submit(pool, note, 2);
    sp_future_add_done_callback(one, count_call, &calls);
    sp_future_add_done_callback(two, count_call, &calls);
    assert_true(sp_future_cancel(one));
    assert_int_equal(calls, 1);
    assert_int_equal(sp_result(one, NULL, SP_FOREVER), SP_CANCELLED);
    assert_int_equal(sp_result(two, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(calls, 2);
    assert_false(sp_future_cancel(two));
    close_pool();
    assert_int_equal(ran_so_far(), 1);
}

static void shutdown_with_cancel_futures_cancels(void **state)
{
    (void)state;
    forget_order();
    pool = sp_inline_pool(.seed = 6);
    sp_future *futures[20];
    for (int i = 0; i < 20; i++)
        futures[i] = sp_submit(pool, note, i);
    assert_int_equal(sp_shutdown(pool, .cancel_futures = true), SP_OK);
    for (int i = 0; i < 20; i++)
        assert_true(sp_future_cancelled(futures[i]));
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    assert_int_equal(stats.submitted, 20);
    assert_int_equal(stats.completed, 20);
    sp_release_all(futures, 20);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    assert_int_equal(ran_so_far(), 0);
}

static void submits_after_shutdown_are_shut_down(void **state)
{
    (void)state;
    forget_order();
    for (uint64_t seed = 0; seed < 2; seed++) {
        pool = sp_inline_pool(.seed = seed);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_auto(sp_future) future = sp_submit(pool, note, 1);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_SHUT_DOWN);
        assert_int_equal(sp_post(pool, note, 1), SP_SHUT_DOWN);
        int in = 1, out;
        assert_int_equal(sp_map(pool, note, &in, &out, 1), SP_SHUT_DOWN);
        sp_executor_release(pool);
    }
    assert_int_equal(ran_so_far(), 0);
}

static void shutdown_without_wait_leaves_it_to_who_waits(void **state)
{
    (void)state;
    forget_order();
    pool = sp_inline_pool(.seed = 8);
    sp_auto(sp_future) one = sp_submit(pool, note, 1);
    assert_int_equal(sp_post(pool, note, 2), SP_OK);
    assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK);
    assert_int_equal(ran_so_far(), 0);
    assert_int_equal(sp_post(pool, note, 3), SP_SHUT_DOWN);
    assert_int_equal(sp_result(one, NULL, SP_FOREVER), SP_OK);
    sp_executor_release(pool);
    assert_int_equal(ran_so_far(), 2);
}

static void the_counters_know_no_worker(void **state)
{
    (void)state;
    pool = sp_inline_pool(.seed = 8);
    sp_executor_statistics stats;
    for (int i = 0; i < 3; i++)
        assert_int_equal(sp_post(pool, note, i), SP_OK);
    sp_auto(sp_future) cancelled = sp_submit(pool, note, 4);
    assert_true(sp_future_cancel(cancelled));
    sp_executor_stats(pool, &stats);
    assert_true(stats.submitted == 4 && stats.completed == 1 && stats.workers == 0);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    sp_executor_stats(pool, &stats);
    assert_true(stats.submitted == 4 && stats.completed == 4 && stats.workers == 0);
    close_pool();
}

/* ---- what is refused by the system ---- */

static void without_memory_there_is_no_pool(void **state)
{
    (void)state;
    sp__fault_arm(1, true);
    assert_null(sp_inline_pool());
    sp__fault_disarm();
    assert_int_equal(errno, ENOMEM);
}

static void without_memory_a_submit_is_memory_error(void **state)
{
    (void)state;
    forget_order();
    pool = sp_inline_pool(.seed = 9);
    sp__fault_arm(2, true); /* the future can be had, its place in the queue cannot */
    sp_future *refused = sp_submit(pool, note, 1);
    sp__fault_disarm();
    assert_int_equal(sp_result(refused, NULL, SP_FOREVER), SP_MEMORY_ERROR);
    assert_non_null(sp_future_arg(refused));
    sp_future_release(refused);
    sp__fault_arm(1, true);
    assert_int_equal(sp_post(pool, note, 1), SP_MEMORY_ERROR);
    sp__fault_disarm();
    for (int i = 0; i < 100; i++) { /* the queue grows */
        sp__fault_arm(2, true);
        sp_status status = sp_post(pool, note, i);
        bool had = sp__fault_disarm() == 0;
        assert_int_equal(status, had ? SP_OK : SP_MEMORY_ERROR);
        if (!had)
            assert_int_equal(sp_post(pool, note, i), SP_OK);
    }
    close_pool();
    assert_int_equal(ran_so_far(), 100);
}

static uint32_t dropped[40]; /* atomic */

static void drop_number(void *arg)
{
    sp__add_seq_cst(&dropped[*(int *)arg], 1);
}

static sp_status owning(const int *in, int *out)
{
    sp_auto(sp_future) inner = *in % 3 == 0 ? sp_submit(pool, note, *in) : NULL;
    *out = *in;
    return inner == NULL ? SP_OK : sp_result(inner, NULL, *in % 2 == 0 ? SP_FOREVER : 60.0);
}
SP_TASK_OWNING(owning, int, int, drop_number, NULL);

static void arguments_are_dropped_once_whatever_is_refused(void **state)
{
    (void)state;
    uint64_t refused = 1;
    for (uint64_t call = 1; refused > 0; call++) {
        memset(dropped, 0, sizeof dropped);
        pool = sp_inline_pool(.seed = call);
        sp_future *futures[40];
        sp__fault_arm(call, call % 2 == 0);
        for (int i = 0; i < 40; i++)
            futures[i] = sp_submit(pool, owning, i);
        for (int i = 0; i < 40; i++) {
            sp_status status = sp_result(futures[i], NULL, SP_FOREVER);
            assert_true(status == SP_OK || status == SP_MEMORY_ERROR);
        }
        refused = sp__fault_disarm();
        sp_release_all(futures, 40);
        close_pool();
        for (int i = 0; i < 40; i++)
            assert_int_equal(dropped[i], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_seed_a_task_runs_in_its_submit),
        cmocka_unit_test(a_failure_is_the_futures),
        cmocka_unit_test(with_a_seed_nothing_runs_before_somebody_waits),
        cmocka_unit_test(every_wait_for_a_future_runs_tasks),
        cmocka_unit_test(map_and_lazy_map_run_tasks),
        cmocka_unit_test(idle_shutdown_and_release_run_everything),
        cmocka_unit_test(a_time_limit_is_looked_at_between_tasks),
        cmocka_unit_test(the_order_is_the_seeds),
        cmocka_unit_test(every_order_of_three_comes_up),
        cmocka_unit_test(the_order_is_the_same_with_nested_submits),
        cmocka_unit_test(cancelled_tasks_never_run),
        cmocka_unit_test(shutdown_with_cancel_futures_cancels),
        cmocka_unit_test(submits_after_shutdown_are_shut_down),
        cmocka_unit_test(shutdown_without_wait_leaves_it_to_who_waits),
        cmocka_unit_test(the_counters_know_no_worker),
        cmocka_unit_test(without_memory_there_is_no_pool),
        cmocka_unit_test(without_memory_a_submit_is_memory_error),
        cmocka_unit_test(arguments_are_dropped_once_whatever_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
