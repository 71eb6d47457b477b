/* A constructor of the program that comes before the library's own, as in a program that is linked with the static library: what
   it uses works, and main finds everything as if the library had been first.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <spool.h>

#include "base/atomic.h"

static struct {
    sp_thread *current, *main, *joined;
    sp_status join_status, result_status, timer_status, shutdown_status;
    sp_status inline_status[2];
    int joined_result, pool_result, inline_result[2];
    size_t active;
    sp_future *future;
    int *local;
} early;

static void count_end(void *value);
static sp_local local = SP_LOCAL(int, NULL, count_end);
static uint32_t ends; /* atomic; of values of `local` */
static sp_lock one, two;
static sp_event held;

static void count_end(void *value)
{
    (void)value;
    sp__add_relaxed(&ends, 1);
}

static sp_status add_one(const int *in, int *ret_sum)
{
    *ret_sum = *in + 1;
    return SP_OK;
}
SP_TASK(add_one, int, int);

static void *use_local(void *arg)
{
    *(int *)sp_local_get(&local) = 1;
    sp_lock_acquire(&one);
    sp_lock_release(&one);
    return sp_thread_current() != NULL ? arg : NULL;
}

static void use_pool(void)
{
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    early.future = sp_submit(pool, add_one, 4);
    early.result_status = sp_result(early.future, &early.pool_result, SP_FOREVER);
    early.shutdown_status = sp_shutdown(pool);
    sp_executor_release(pool);
}

/* Tasks that run in their submit, and in those who wait for them. */
static void use_inline_pools(void)
{
    for (int i = 0; i < 2; i++) {
        sp_executor *pool = sp_inline_pool(.seed = (uint64_t)i);
        sp_auto(sp_future) future = sp_submit(pool, add_one, 5 + i);
        early.inline_status[i] = sp_result(future, &early.inline_result[i], SP_FOREVER);
        sp_executor_release(pool);
    }
}

/* 101 is the first priority that a program may have. */
__attribute__((constructor(101))) static void before_the_library(void)
{
    pthread_t foreign;
    if (pthread_create(&foreign, NULL, use_local, NULL) == 0)
        pthread_join(foreign, NULL);
    early.active = sp_thread_active_count();
    early.current = sp_thread_current();
    early.main = sp_thread_main();
    early.local = sp_local_get(&local);
    if (early.local != NULL)
        *early.local = 7;
    early.joined = sp_start(add_one, 1);
    early.join_status = sp_join(early.joined, &early.joined_result, SP_FOREVER);
    sp_thread_release(early.joined);
    use_pool();
    use_inline_pools();
    sp_timer *timer = sp_timer_start(0.001, add_one, 1);
    early.timer_status = sp_timer_join(timer, SP_FOREVER);
    sp_timer_release(timer);
}

/* ---- the tests ---- */

static void threads_pools_and_timers_work_in_it(void **state)
{
    (void)state;
    assert_int_equal(early.join_status, SP_OK);
    assert_int_equal(early.joined_result, 2);
    assert_int_equal(early.result_status, SP_OK);
    assert_int_equal(early.pool_result, 5);
    assert_int_equal(early.shutdown_status, SP_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(early.inline_status[i], SP_OK);
        assert_int_equal(early.inline_result[i], 6 + i);
    }
    assert_int_equal(early.timer_status, SP_OK);
    int again = 0;
    assert_int_equal(sp_result(early.future, &again, SP_NOWAIT), SP_OK);
    assert_int_equal(again, 5);
    sp_future_release(early.future);
}

static void it_runs_in_the_main_thread(void **state)
{
    (void)state;
    assert_ptr_equal(early.current, sp_thread_main());
    assert_ptr_equal(early.main, sp_thread_main());
    assert_ptr_equal(sp_thread_current(), sp_thread_main());
    assert_string_equal(sp_thread_name(early.current), "MainThread");
    assert_int_equal(early.active, 1);
    assert_int_equal(sp_thread_active_count(), 1);
    assert_ptr_equal(sp_local_get(&local), early.local);
    assert_int_equal(*early.local, 7);
}

static void the_end_of_a_thread_was_noticed(void **state)
{
    (void)state;
    assert_int_equal(sp__load_relaxed(&ends), 1);
}

static sp_status close_cycle(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&two);
    sp_event_set(&held);
    sp_lock_acquire(&one);
    return SP_OK;
}
SP_TASK(close_cycle, sp_none, sp_none);

static void cycle_with_main(void)
{
    sp_lock_acquire(&one);
    sp_thread_release(sp_start(close_cycle));
    sp_event_wait(&held, SP_FOREVER);
    sp_lock_acquire(&two);
}

static const char *program;
static const struct child_case cases[] = { { "cycle", cycle_with_main } };

static void a_cycle_with_the_main_thread_is_reported(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "cycle", NULL);
    child_aborted(&end, "a cycle of 2: ");
    child_aborted(&end, "MainThread (id ");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_pools_and_timers_work_in_it),
        cmocka_unit_test(it_runs_in_the_main_thread),
        cmocka_unit_test(the_end_of_a_thread_was_noticed),
        cmocka_unit_test(a_cycle_with_the_main_thread_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
