/* Thread pools behave like concurrent.futures.ThreadPoolExecutor.  pool_shutdown_test.c has their end.

   SPDX-License-Identifier: MIT */
#include "conformance/futures.h"

#include <string.h>

#include "conformance/child.h"

enum { WORKERS = 5 };

static sp_executor *make_pool(void)
{
    return sp_thread_pool(.max_workers = WORKERS);
}

/* ---- submit and map ---- */

static void a_submit_gives_the_result(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = make_pool();
    sp_auto(sp_future) future = sp_submit(pool, mul, 16, 16);
    int value = 0;
    assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 256);
}

static void arguments_have_names(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = make_pool();
    sp_auto(sp_future) both = sp_submit(pool, mul, .y = 8, .x = 2);
    sp_auto(sp_future) one = sp_submit(pool, divide, .y = 8); /* what is not said is zero */
    int value = -1;
    assert_int_equal(sp_result(both, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 16);
    assert_int_equal(sp_result(one, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 0);
}

static void map_keeps_the_order_in_chunks_of_any_size(void **state)
{
    (void)state;
    enum { N = 40 };
    struct factors inputs[N];
    int outputs[N];
    static const size_t sizes[] = { 0, 1, 3, 6, N, N + 10, SIZE_MAX };
    sp_auto(sp_executor) pool = make_pool();
    for (int i = 0; i < N; i++)
        inputs[i] = (struct factors){ i, i };
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        memset(outputs, 0xff, sizeof outputs);
        assert_int_equal(sp_map(pool, mul, inputs, outputs, N, .chunksize = sizes[k]), SP_OK);
        for (int i = 0; i < N; i++)
            assert_int_equal(outputs[i], i * i);
    }
}

static void map_tells_the_first_failure_in_the_order_of_inputs(void **state)
{
    (void)state;
    const struct factors inputs[] = { { 1, 2 }, { 1, 3 }, { 1, 0 }, { 1, 5 }, { 2, 0 } };
    int outputs[5] = { 7, 7, 7, 7, 7 };
    sp_future *failed = NULL;
    sp_auto(sp_executor) pool = make_pool();
    assert_int_equal(sp_map(pool, divide, inputs, outputs, 5, .ret_failed = &failed), SP_VALUE_ERROR);
    assert_string_equal(sp_future_error(failed)->message, "1 divided by zero");
    assert_int_equal(outputs[0] + outputs[1] + outputs[2] + outputs[3] + outputs[4], 35); /* all or nothing */
    sp_future_release(failed);
}

static uint32_t ran; /* atomic */

static sp_status count_run(const int *in, sp_none *out)
{
    (void)out;
    sp__add_seq_cst(&ran, 1);
    return *in < 0 ? sp_raise(SP_VALUE_ERROR, "negative") : SP_OK;
}
SP_TASK(count_run, int, sp_none);

static void map_has_run_all_when_it_returns(void **state)
{
    (void)state;
    int inputs[10] = { 0 };
    sp_none outputs[10];
    ran = 0;
    sp_executor *pool = make_pool();
    assert_int_equal(sp_map(pool, count_run, inputs, outputs, 10), SP_OK);
    assert_int_equal(ran, 10);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(ran, 10);
    sp_executor_release(pool);
}

static sp_status map_in_own_pool(sp_executor *const *in, sp_none *out)
{
    int inputs[] = { 1, -1, 1, 1 };
    sp_none outputs[4];
    (void)out;
    return sp_map(*in, count_run, inputs, outputs, 4);
}
typedef sp_executor *executor_pointer;
SP_TASK(map_in_own_pool, executor_pointer, sp_none);

/* The only worker is the one that calls sp_map and runs its inputs one by one: after a failure it runs none. */
static void after_a_failure_what_is_queued_does_not_run(void **state)
{
    (void)state;
    ran = 0;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, map_in_own_pool, pool);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_VALUE_ERROR);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    assert_int_equal(ran, 2);
}

/* ---- what is kept ---- */

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

static void a_pool_that_rests_keeps_nothing_of_its_tasks(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = make_pool();
    dropped = 0;
    sp_future_release(sp_submit(pool, own, 1));
    test_await(sp__load_acquire(&dropped) == 1); /* without another task, which would push the first one out */
    assert_int_equal(sp_post(pool, own, 1), SP_OK);
    test_await(sp__load_acquire(&dropped) == 2);
    sp_future *future = sp_submit(pool, own, 1);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(dropped, 2); /* ours */
    sp_future_release(future);
    test_await(sp__load_acquire(&dropped) == 3);
}

/* ---- workers ---- */

static void no_more_than_so_many_at_a_time(unsigned max_workers, unsigned expected)
{
    enum { MOST = 15 * 40 };
    static sp_future *futures[MOST];
    unsigned n = 15 * expected;
    gate_close();
    sp_executor *pool = sp_thread_pool(.max_workers = max_workers);
    for (unsigned i = 0; i < n; i++)
        futures[i] = sp_submit(pool, pass, (int)i);
    gate_await(expected);
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    assert_int_equal(stats.workers, expected);
    gate_open();
    assert_int_equal(sp_wait(futures, n, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    assert_int_equal(gate.peak, expected);
    assert_int_equal(gate.passed, n);
    sp_release_all(futures, n);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static void sixty_tasks_for_four_workers(void **state)
{
    (void)state;
    no_more_than_so_many_at_a_time(4, 4);
}

static void zero_workers_is_the_default_number(void **state)
{
    (void)state;
    unsigned cpus = sp_cpu_count();
    no_more_than_so_many_at_a_time(0, cpus + 4 < 32 ? cpus + 4 : 32);
}

/* -1 is a large number here, which costs nothing: workers come with their tasks. */
static void a_very_large_number_of_workers_is_no_bound(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = (unsigned)-1);
    assert_non_null(pool);
    sp_auto(sp_future) future = sp_submit(pool, mul, 6, 7);
    int value = 0;
    assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 42);
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    assert_int_equal(stats.workers, 1);
}

/* ---- the initializer ---- */

static sp_local status_here = SP_LOCAL(int, NULL, NULL);

static sp_status initialize(void *arg)
{
    int *status = sp_local_get(&status_here);
    if (status == NULL)
        return SP_MEMORY_ERROR;
    *status = *(const int *)arg;
    return SP_OK;
}

static sp_status get_status(const sp_none *in, int *out)
{
    int value, *status = sp_local_get(&status_here);
    (void)in;
    *out = status != NULL ? *status : 0;
    return pass(&(int){ 1 }, &value); /* until every worker has one */
}
SP_TASK(get_status, sp_none, int);

static void each_worker_is_initialized_before_its_first_task(void **state)
{
    (void)state;
    enum { N = 2 };
    int given = 17;
    sp_future *futures[N];
    gate_close();
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = N, .initializer = initialize, .initializer_arg = &given);
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, get_status);
    gate_await(N);
    gate_open();
    for (int i = 0; i < N; i++) {
        int value = 0;
        assert_int_equal(sp_result(futures[i], &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, 17);
    }
    sp_release_all(futures, N);
}

static sp_event may_fail;

static sp_status fail_when_told(void *arg)
{
    (void)arg;
    sp_event_wait(&may_fail, SP_FOREVER); /* until some futures are queued */
    return sp_raise(SP_VALUE_ERROR, "error in initializer");
}

static void a_failing_initializer_breaks_the_pool_for_all(void **state)
{
    (void)state;
    enum { N = 10 };
    sp_future *futures[N];
    sp_event_clear(&may_fail);
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2, .initializer = fail_when_told);
    for (int i = 0; i < N; i++) {
        futures[i] = sp_submit(pool, mul, i, i);
        assert_false(sp_future_done(futures[i]));
    }
    sp_event_set(&may_fail);
    for (int i = 0; i < N; i++) {
        assert_int_equal(sp_result(futures[i], NULL, SP_FOREVER), SP_BROKEN_POOL);
        assert_non_null(strstr(sp_future_error(futures[i])->message, "error in initializer"));
    }
    sp_release_all(futures, N);
    sp_auto(sp_future) later = sp_submit(pool, mul, 1, 1); /* from now on at once */
    assert_int_equal(sp_result(later, NULL, SP_NOWAIT), SP_BROKEN_POOL);
    assert_non_null(strstr(sp_future_error(later)->message, "error in initializer"));
}

/* ---- forks while a task submits itself ---- */

enum { FORKS = 50 };

static sp_status submit_itself(sp_executor *const *in, sp_none *out);
SP_TASK(submit_itself, executor_pointer, sp_none);
static sp_status submit_itself(sp_executor *const *in, sp_none *out)
{
    (void)out;
    if (sp_post(*in, submit_itself, *in) != SP_OK)
        sp_event_set(&gate.open); /* it was closed: the end of the chain */
    return SP_OK;
}

/* What each child does: leave through its exit handlers, every other one after work of its own. */
static void live_and_leave(int number)
{
    int value = 0;
    if (number % 2 == 0) {
        sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
        sp_auto(sp_future) future = sp_submit(pool, mul, 6, 7);
        exit(sp_result(future, &value, SP_FOREVER) == SP_OK && value == 42 ? 0 : 8);
    }
    exit(0);
}

static int forks_while_a_task_submits_itself(void)
{
    int failed = 0;
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    if (sp_post(pool, submit_itself, pool) != SP_OK)
        return 9;
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0)
            live_and_leave(i);
        failed += child_status(child) != 0;
    }
    if (sp_shutdown(pool) != SP_OK || !sp_event_is_set(&gate.open))
        failed++;
    sp_executor_release(pool);
    return failed;
}

static const struct child_case cases[] = { CHILD_CASE(forks_while_a_task_submits_itself, 0, "", "") };

int main(int argc, char **argv)
{
    child_main(argc, argv, cases, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submit_gives_the_result),
        cmocka_unit_test(arguments_have_names),
        cmocka_unit_test(map_keeps_the_order_in_chunks_of_any_size),
        cmocka_unit_test(map_tells_the_first_failure_in_the_order_of_inputs),
        cmocka_unit_test(map_has_run_all_when_it_returns),
        cmocka_unit_test(after_a_failure_what_is_queued_does_not_run),
        cmocka_unit_test(a_pool_that_rests_keeps_nothing_of_its_tasks),
        cmocka_unit_test(sixty_tasks_for_four_workers),
        cmocka_unit_test(zero_workers_is_the_default_number),
        cmocka_unit_test(a_very_large_number_of_workers_is_no_bound),
        cmocka_unit_test(each_worker_is_initialized_before_its_first_task),
        cmocka_unit_test(a_failing_initializer_breaks_the_pool_for_all),
/* ThreadSanitizer does not know threads that a forked child starts; the allocator of AddressSanitizer may be locked for ever in
   the child, by a thread that was allocating. */
#if !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__
        CHILD_TEST(&cases[0]),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
