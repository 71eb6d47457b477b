/* Turns, task by task: one worker, whose tasks say in which order they are taken from the inbox, from its own queue and from
   those of others.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "base/atomic.h"

static sp_executor *pool;
static sp_event queued, may_begin; /* all from outside is queued; the first task may go on */

static void busy(double seconds)
{
    for (double end = test_now() + seconds; test_now() < end;)
        continue;
}

/* What ran, in order; by the one worker, read when the pool is shut down. */
enum { OUTSIDE = 1000, MOST = 600 };
static int order[MOST];
static int count;
static double began, over; /* when the first of the own tasks went on, and when the last had run */

static void note(int number)
{
    if (count < MOST)
        order[count++] = number;
}

static sp_status take_turn(const int *number, sp_none *out)
{
    (void)out;
    note(*number);
    return SP_OK;
}
SP_TASK(take_turn, int, sp_none);

static void post_outside(int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(sp_post(pool, take_turn, OUTSIDE + i), SP_OK);
}

/* How many of order[from] to order[to - 1] are from outside? */
static int count_outside(int from, int to)
{
    int outside = 0;
    for (int i = from; i < to; i++)
        outside += order[i] >= OUTSIDE;
    return outside;
}

static void begin(unsigned workers)
{
    count = 0;
    sp_event_clear(&queued);
    sp_event_clear(&may_begin);
    pool = sp_thread_pool(.max_workers = workers);
}

static void end(int expected)
{
    assert_true(sp_executor_wait_idle(pool, (double)test_patience()));
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    assert_int_equal(count, expected);
}

/* ---- all are due at the same time ---- */

static sp_status post_own(const int *n, sp_none *out)
{
    (void)out;
    sp_event_wait(&queued, SP_FOREVER);
    for (int i = 0; i < *n; i++)
        if (sp_post(pool, take_turn, i) != SP_OK)
            return SP_RUNTIME_ERROR;
    return SP_OK;
}
SP_TASK(post_own, int, sp_none);

static void what_a_task_submits_and_what_is_queued_outside_take_turns(void **state)
{
    (void)state;
    enum { EACH = 40, SEEN = 20 };
    begin(1);
    assert_int_equal(sp_post(pool, post_own, EACH), SP_OK);
    post_outside(EACH);
    sp_event_set(&queued);
    end(2 * EACH);
    assert_in_range(count_outside(0, SEEN), SEEN / 2 - 1, SEEN / 2 + 1);
}

/* ---- what comes from outside when a round has begun ---- */

static int outside_at; /* how many had run when all from outside was queued */

/* The first of the round; while it runs all that comes from outside is queued. */
static sp_status let_queue(const int *number, sp_none *out)
{
    (void)out;
    note(*number);
    sp_event_set(&may_begin);
    sp_event_wait(&queued, SP_FOREVER);
    outside_at = count;
    busy(0.0003);
    began = test_now();
    return SP_OK;
}
SP_TASK(let_queue, int, sp_none);

static sp_status take_long_turn(const int *number, sp_none *out)
{
    (void)out;
    note(*number);
    busy(0.0003); /* longer than a round at least */
    return SP_OK;
}
SP_TASK(take_long_turn, int, sp_none);

static sp_status be_last(const int *number, sp_none *out)
{
    (void)out;
    note(*number);
    over = test_now();
    return SP_OK;
}
SP_TASK(be_last, int, sp_none);

typedef struct {
    int n;
    bool are_long;
} round_of;

static sp_status begin_round(const round_of *round, sp_none *out)
{
    (void)out;
    bool good = sp_post(pool, let_queue, 0) == SP_OK;
    for (int i = 1; i + 1 < round->n && good; i++)
        good = (round->are_long ? sp_post(pool, take_long_turn, i) : sp_post(pool, take_turn, i)) == SP_OK;
    return good ? sp_post(pool, be_last, round->n - 1) : SP_RUNTIME_ERROR;
}
SP_TASK(begin_round, round_of, sp_none);

static void run_round(int own, bool are_long, int outside)
{
    begin(1);
    assert_int_equal(sp_post(pool, begin_round, own, are_long), SP_OK);
    assert_true(sp_event_wait(&may_begin, (double)test_patience()));
    post_outside(outside);
    sp_event_set(&queued);
    end(own + outside);
}

static void one_from_outside_comes_after_the_task_that_runs_though_a_long_round_is_not_over(void **state)
{
    (void)state;
    enum { OWN = 50 };
    run_round(OWN, true, 1);
    assert_int_equal(outside_at, 1);
    assert_int_equal(order[outside_at], OUTSIDE);
}

/* Where in the order the last of the round is. */
static int place_of(int number)
{
    int place = 0;
    while (order[place] != number)
        place++;
    return place;
}

static void others_from_outside_wait_for_the_round_but_for_one_each_tenth_of_a_millisecond(void **state)
{
    (void)state;
    enum { OWN = 250, ROUNDS = 5 };
    for (int i = 0; i < ROUNDS; i++) {
        run_round(OWN, false, OWN);
        assert_in_range(count_outside(0, place_of(OWN - 1)), 1, 3 + (int)((over - began) / 0.0001));
    }
}

/* ---- the queues of others ---- */

enum { HOLDERS = 2, EACH = 6 };
static sp_event steal;
static sp_semaphore holding;

/* It leaves tasks in its queue, and sleeps: others run them. */
static sp_status hold_tasks(const int *number, sp_none *out)
{
    (void)out;
    sp_event_wait(&may_begin, SP_FOREVER);
    for (int i = 0; i < EACH; i++)
        if (sp_post(pool, take_turn, *number) != SP_OK)
            return SP_RUNTIME_ERROR;
    sp_status status = sp_semaphore_release(&holding, 1);
    sp_event_wait(&queued, SP_FOREVER);
    return status;
}
SP_TASK(hold_tasks, int, sp_none);

static sp_status wait_to_steal(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&steal, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_to_steal, sp_none, sp_none);

/* How many tasks are over. */
static uint64_t completed(void)
{
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    return stats.completed;
}

static void a_worker_takes_from_the_queues_of_others_by_turns(void **state)
{
    (void)state;
    begin(HOLDERS + 1);
    sp_auto(sp_future) stealer = sp_submit(pool, wait_to_steal);
    test_await(sp_future_running(stealer));
    sp_future *holders[HOLDERS];
    for (int i = 0; i < HOLDERS; i++) {
        holders[i] = sp_submit(pool, hold_tasks, i);
        test_await(sp_future_running(holders[i])); /* no worker is left for what they submit */
    }
    sp_event_set(&may_begin);
    for (int i = 0; i < HOLDERS; i++)
        assert_true(sp_semaphore_acquire_timeout(&holding, (double)test_patience()));
    sp_event_set(&steal);
    test_await(completed() == 1 + HOLDERS * EACH);
    sp_event_set(&queued);
    end(HOLDERS * EACH);
    sp_release_all(holders, HOLDERS);
    for (int i = 1; i < 2 * EACH - 1; i++)
        assert_int_not_equal(order[i], order[i - 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_task_submits_and_what_is_queued_outside_take_turns),
        cmocka_unit_test(one_from_outside_comes_after_the_task_that_runs_though_a_long_round_is_not_over),
        cmocka_unit_test(others_from_outside_wait_for_the_round_but_for_one_each_tenth_of_a_millisecond),
        cmocka_unit_test(a_worker_takes_from_the_queues_of_others_by_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
