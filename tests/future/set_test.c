/* Sets in which futures stand twice, sets that are handed on, and waits for inline pools that have a limit.

   SPDX-License-Identifier: MIT */
#include "window.h"

#include <spool.h>

#include "os/fault.h"

static sp_executor *pool; /* of the test that runs */

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

static sp_future *fresh(void)
{
    return sp_future_new(&pass_sp_task, &(int){ 1 });
}

static void finish(sp_future *future)
{
    assert_int_equal(sp_future_set_result(future, &(int){ 2 }, sizeof(int)), SP_OK);
}

/* ---- futures that so many watch that a set remembers in a table which it has ---- */

enum { SETS = 12, N = 3 };
static sp_future *futures[N];
static sp_completion *others[SETS];

static void watch_the_second(void)
{
    for (int i = 0; i < N; i++)
        futures[i] = fresh();
    for (int i = 0; i < SETS; i++)
        others[i] = sp_as_completed(&futures[1], 1, SP_FOREVER);
}

static void assert_each_is_given_once(sp_completion *set)
{
    for (int i = 0; i < N; i++) {
        finish(futures[i]);
        assert_ptr_equal(sp_next(set), futures[i]);
    }
    assert_null(sp_next(set));
    assert_int_equal(sp_completion_status(set), SP_OK);
    sp_completion_release(set);
    for (int i = 0; i < SETS; i++) {
        assert_ptr_equal(sp_next(others[i]), futures[1]);
        sp_completion_release(others[i]);
    }
    sp_release_all(futures, N);
}

/* The table is made when the second is met: what came before stands in it as well. */
static sp_completion *set_of_all(void)
{
    return sp_as_completed((sp_future *[]){ futures[0], futures[1], futures[0], futures[2], futures[1], futures[1],
                                            futures[2], futures[0] },
                           8, 20.0);
}

static void a_future_that_many_watch_is_given_once(void **state)
{
    (void)state;
    watch_the_second();
    assert_each_is_given_once(set_of_all());
}

static void without_memory_for_the_table_too(void **state)
{
    (void)state;
    watch_the_second();
    sp__fault_arm(2, true); /* the first is the set's own */
    sp_completion *set = set_of_all();
    assert_true(sp__fault_disarm() > 0);
    assert_each_is_given_once(set);
}

/* ---- a set is handed on ---- */

static void read_one(void *context)
{
    assert_ptr_equal(sp_next(context), futures[0]);
}

static sp_future *own;
static sp_event handed_on;
static sp_completion *handed;

static sp_status read_on(const int *in, int *out)
{
    *out = *in;
    sp_event_wait(&handed_on, SP_FOREVER);
    return sp_next(handed) == NULL ? sp_completion_status(handed) : SP_OK;
}
SP_TASK(read_on, int, int);

/* One that may wait for all of it has waited before. */
static void a_task_to_which_a_set_with_itself_is_handed_on_is_refused(void **state)
{
    (void)state;
    one reader;
    pool = sp_thread_pool(.max_workers = 1);
    futures[0] = fresh();
    own = sp_submit(pool, read_on, 1);
    handed = sp_as_completed((sp_future *[]){ own, futures[0] }, 2, 20.0);
    struct pause *sleeps = pause_at("completion: too few"); /* the task waits for an event */
    one_start(&reader, read_one, handed);
    pause_end(sleeps);
    finish(futures[0]);
    one_end(&reader);
    sp_event_set(&handed_on);
    assert_int_equal(sp_result(own, NULL, 30.0), SP_DEADLOCK);
    sp_completion_release(handed);
    sp_future_release(own);
    sp_future_release(futures[0]);
    sp_executor_release(pool);
}

/* ---- inline pools ---- */

static sp_status take_a_moment(const int *in, int *out)
{
    sp_sleep(0.02);
    return pass(in, out);
}
SP_TASK(take_a_moment, int, int);

enum { TASKS = 12 };
static sp_future *tasks[TASKS];

static void submit_all(void)
{
    pool = sp_inline_pool(.seed = 5);
    for (int i = 0; i < TASKS; i++)
        tasks[i] = sp_submit(pool, take_a_moment, i);
}

static int count_done(void)
{
    int done = 0;
    for (int i = 0; i < TASKS; i++)
        done += sp_future_done(tasks[i]);
    return done;
}

static void end_all(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_release_all(tasks, TASKS);
    sp_executor_release(pool);
}

/* The one that is waited for is none of the first that are drawn; each takes longer than there is time. */
static void a_wait_that_has_run_beyond_its_limit_runs_no_more(void **state)
{
    (void)state;
    submit_all();
    sp_future *last = NULL;
    assert_true(sp_future_wait(tasks[0], 20.0)); /* who is drawn when, is for the seed to say */
    for (int i = 0; i < TASKS; i++)
        if (!sp_future_done(tasks[i]))
            last = tasks[i];
    assert_true(last != NULL);
    int done = count_done();
    assert_int_equal(sp_result(last, NULL, 0.01), SP_TIMEOUT);
    assert_int_equal(count_done(), done + 1);
    sp_auto(sp_completion) set = sp_as_completed(&last, 1, 0.01);
    assert_null(sp_next(set));
    assert_int_equal(sp_completion_status(set), SP_TIMEOUT);
    assert_int_equal(count_done(), done + 2);
    end_all();
}

static void who_reads_a_set_of_an_inline_pool_runs_it(void **state)
{
    (void)state;
    submit_all();
    sp_auto(sp_completion) set = sp_as_completed(tasks, TASKS, 10.0);
    for (int i = 1; i <= TASKS; i++) {
        assert_non_null(sp_next(set));
        assert_int_equal(count_done(), i);
    }
    end_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_future_that_many_watch_is_given_once),
        cmocka_unit_test(without_memory_for_the_table_too),
        cmocka_unit_test(a_task_to_which_a_set_with_itself_is_handed_on_is_refused),
        cmocka_unit_test(a_wait_that_has_run_beyond_its_limit_runs_no_more),
        cmocka_unit_test(who_reads_a_set_of_an_inline_pool_runs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
