/* The inline pool with a thread that runs its task and another that waits: who is told, who runs what, and in which order.

   SPDX-License-Identifier: MIT */
#include "window.h"

#include "inline.h"

static sp_event gate, goes_on;
static sp_executor *other_pool;

static sp_status hold(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_event_wait(&gate, (double)test_patience()) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(hold, sp_none, sp_none);

static void begin(uint64_t seed)
{
    forget_order();
    sp_event_clear(&gate);
    sp_event_clear(&goes_on);
    pool = sp_inline_pool(.seed = seed);
}

/* ---- threads ---- */

/* Runs the future, and what else is queued. */
static void run_future(void *context)
{
    sp_future *future = *(sp_future **)context;
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    sp_future_release(future);
}

static void wait_until_idle(void *context)
{
    *(bool *)context = sp_executor_wait_idle(pool, SP_FOREVER);
}

/* ---- who waits until nothing runs ---- */

static void who_waits_until_it_is_idle_sleeps_until_another_thread_has_run_the_last_task(void **state)
{
    (void)state;
    one runner, waiter;
    bool idle = false;
    begin(3);
    sp_future *holds = sp_submit(pool, hold);
    one_start_asleep(&runner, run_future, &holds);
    one_start_asleep(&waiter, wait_until_idle, &idle);
    assert_int_equal(bunch_finished(&waiter), 0);
    sp_event_set(&gate);
    one_end(&waiter);
    one_end(&runner);
    assert_true(idle);
    close_pool();
}

/* It ends when somebody else has run what it submits. */
static sp_status submit_for_another(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&goes_on, SP_FOREVER);
    sp_status status = sp_post(pool, note, 1);
    for (double end = test_now() + (double)test_patience(); ran_so_far() == 0 && test_now() < end;)
        test_pause(100);
    return ran_so_far() == 1 ? status : SP_TIMEOUT;
}
SP_TASK(submit_for_another, sp_none, sp_none);

static void what_a_task_submits_is_run_by_a_thread_that_waits(void **state)
{
    (void)state;
    one runner, waiter;
    bool idle = false;
    begin(4);
    sp_future *submits = sp_submit(pool, submit_for_another);
    sp_future *ran_by_runner = sp_future_retain(submits);
    one_start_asleep(&runner, run_future, &ran_by_runner);
    one_start_asleep(&waiter, wait_until_idle, &idle);
    sp_event_set(&goes_on);
    one_end(&runner);
    one_end(&waiter);
    assert_int_equal(sp_result(submits, NULL, SP_NOWAIT), SP_OK);
    assert_true(idle);
    sp_future_release(submits);
    close_pool();
}

/* ---- a task that is cancelled when a thread is about to run it ---- */

static uint32_t dropped; /* atomic */

static void drop_number(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&dropped, 1);
}

static sp_status note_owned(const int *in, int *out)
{
    return note(in, out);
}
SP_TASK_OWNING(note_owned, int, int, drop_number, NULL);

static void what_is_cancelled_when_it_has_left_the_queue_counts_once_and_is_dropped(void **state)
{
    (void)state;
    one runner;
    bool idle = false;
    sp_executor_statistics stats;
    begin(9);
    struct pause *window = pause_at("inline: has a task");
    sp_future *cancelled = sp_submit(pool, note_owned, 1);
    one_start(&runner, wait_until_idle, &idle);
    pause_await(window);
    assert_true(sp_future_cancel(cancelled));
    pause_end(window);
    one_end(&runner);
    assert_true(idle);
    sp_executor_stats(pool, &stats);
    assert_int_equal(stats.submitted, 1);
    assert_int_equal(stats.completed, 1);
    sp_future_release(cancelled);
    assert_int_equal(sp__load_seq_cst(&dropped), 1);
    assert_int_equal(ran_so_far(), 0);
    close_pool();
}

/* ---- a task waits for what another thread runs ---- */

static sp_future *held;

static sp_status wait_for_held(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&goes_on, SP_FOREVER);
    return sp_result(held, NULL, SP_FOREVER);
}
SP_TASK(wait_for_held, sp_none, sp_none);

static void what_a_task_waits_for_has_left_the_queue_when_another_thread_runs_it(void **state)
{
    (void)state;
    one first, second;
    begin(5);
    held = sp_submit(pool, hold);
    sp_future *run_by_first = sp_future_retain(held);
    one_start_asleep(&first, run_future, &run_by_first);
    sp_future *waits = sp_submit(pool, wait_for_held);
    one_start_asleep(&second, run_future, &waits);
    assert_int_equal(sp_post(pool, note, 1), SP_OK); /* it lies where the first lay */
    struct pause *asleep = pause_at("park: asleep");
    sp_event_set(&goes_on);
    pause_end(asleep);
    assert_int_equal(ran_so_far(), 0);
    sp_event_set(&gate);
    one_end(&first);
    one_end(&second);
    close_pool();
    assert_int_equal(ran_so_far(), 1);
    sp_future_release(held);
}

/* ---- pools whose tasks wait for each other ---- */

typedef struct {
    bool shuts_down, is_second;
} way_to_wait;

/* SP_DEADLOCK: it was refused. */
static sp_status wait_for_the_other(const way_to_wait *way, sp_none *out)
{
    (void)out;
    sp_executor *awaited = way->is_second ? pool : other_pool;
    if (way->is_second)
        sp_event_wait(&gate, SP_FOREVER);
    if (way->shuts_down)
        return sp_shutdown(awaited);
    return sp_executor_wait_idle(awaited, SP_FOREVER) ? SP_OK : SP_DEADLOCK;
}
SP_TASK(wait_for_the_other, way_to_wait, sp_none);

static void run_and_wait(void *context)
{
    assert_true(sp_future_wait(*(sp_future **)context, SP_FOREVER));
}

static void of_two_pools_whose_tasks_wait_for_each_other_one_is_refused(void **state)
{
    (void)state;
    for (int shuts_down = 0; shuts_down < 2; shuts_down++) {
        one first, second;
        begin(6);
        other_pool = sp_inline_pool(.seed = 6);
        sp_future *in_other = sp_submit(other_pool, wait_for_the_other, shuts_down, true);
        one_start_asleep(&second, run_and_wait, &in_other);
        sp_future *in_pool = sp_submit(pool, wait_for_the_other, shuts_down, false);
        one_start_asleep(&first, run_and_wait, &in_pool);
        sp_event_set(&gate);
        one_end(&second);
        one_end(&first);
        sp_status of_other = sp_result(in_other, NULL, SP_NOWAIT), of_pool = sp_result(in_pool, NULL, SP_NOWAIT);
        assert_int_equal(of_other == SP_DEADLOCK ? of_pool : of_other, SP_OK);
        assert_int_equal(of_other == SP_DEADLOCK ? of_other : of_pool, SP_DEADLOCK);
        sp_release_all((sp_future *[]){ in_other, in_pool }, 2);
        close_pool();
        pool = other_pool;
        close_pool();
    }
}

/* ---- what is left by a task that releases the last handle ---- */

static bool is_inside;
static int inside, outside;

static sp_status look_where(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    *(is_inside ? &inside : &outside) += 1;
    return SP_OK;
}
SP_TASK(look_where, sp_none, sp_none);

static sp_status release_last_handle(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    is_inside = true;
    bool good = sp_post(pool, look_where) == SP_OK && sp_post(pool, look_where) == SP_OK;
    sp_executor_release(pool);
    is_inside = false;
    return good ? SP_OK : SP_RUNTIME_ERROR;
}
SP_TASK(release_last_handle, sp_none, sp_none);

static void what_is_left_by_the_task_that_releases_the_pool_runs_after_it(void **state)
{
    (void)state;
    begin(8);
    sp_future *releases = sp_submit(pool, release_last_handle);
    assert_int_equal(sp_result(releases, NULL, SP_FOREVER), SP_OK);
    sp_future_release(releases);
    assert_int_equal(inside, 0);
    assert_int_equal(outside, 2);
}

/* ---- the order ---- */

enum { PICKS = 64 };
static int next_number;

/* Two are queued whenever one is picked. */
static sp_status note_and_replace(const int *in, int *out);
SP_TASK(note_and_replace, int, int);
static sp_status note_and_replace(const int *in, int *out)
{
    sp_status status = note(in, out);
    return next_number < PICKS ? sp_post(pool, note_and_replace, next_number++) : status;
}

static void of_two_that_are_queued_now_the_older_runs_and_now_the_newer(void **state)
{
    (void)state;
    int older = 0;
    begin(7);
    for (next_number = 0; next_number < 2; next_number++)
        assert_int_equal(sp_post(pool, note_and_replace, next_number), SP_OK);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    close_pool();
    assert_int_equal(ran_so_far(), PICKS);
    for (int pick = 1, waits = 1 - order[0]; pick < PICKS - 1; pick++)
        if (order[pick] == waits) {
            waits = pick + 1; /* the one that was submitted last */
            older++;
        }
    assert_in_range(older, PICKS / 4, 3 * PICKS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_until_it_is_idle_sleeps_until_another_thread_has_run_the_last_task),
        cmocka_unit_test(what_a_task_submits_is_run_by_a_thread_that_waits),
        cmocka_unit_test(what_is_cancelled_when_it_has_left_the_queue_counts_once_and_is_dropped),
        cmocka_unit_test(what_a_task_waits_for_has_left_the_queue_when_another_thread_runs_it),
        cmocka_unit_test(of_two_pools_whose_tasks_wait_for_each_other_one_is_refused),
        cmocka_unit_test(what_is_left_by_the_task_that_releases_the_pool_runs_after_it),
        cmocka_unit_test(of_two_that_are_queued_now_the_older_runs_and_now_the_newer),
    };
    return cmocka_run_group_tests_name("inline threads", tests, NULL, NULL);
}
