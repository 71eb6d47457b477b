/* A pool that makes no progress says so, once for each time, and only then.

   SPDX-License-Identifier: MIT */
#include "abreast.h"

#include <spool.h>

#include "base/atomic.h"

static struct {
    sp_lock lock;
    unsigned count;   /* guarded by lock: reports */
    char text[1024];  /* guarded by lock: the last one */
    sp_event *relief; /* set before the tasks: what the hook sets */
} told;

static void tell(const char *report, void *context)
{
    (void)context;
    SP_HOLD(&told.lock);
    told.count++;
    snprintf(told.text, sizeof told.text, "%s", report);
    if (told.relief != NULL)
        sp_event_set(told.relief);
}

static unsigned reports(void)
{
    SP_HOLD(&told.lock);
    return told.count;
}

static void assert_told(const char *word)
{
    SP_HOLD(&told.lock);
    if (strstr(told.text, word) == NULL)
        fail_msg("\"%s\" is not in: %s", word, told.text);
}

static int listen(void **state)
{
    (void)state;
    told.count = 0;
    told.text[0] = '\0';
    told.relief = NULL;
    sp_set_starvation_hook(tell, NULL);
    return 0;
}

static int stop_listening(void **state)
{
    (void)state;
    sp_set_starvation_hook(NULL, NULL);
    return 0;
}

static sp_status wait_for_event(sp_event *const *event, sp_none *result)
{
    (void)result;
    (void)sp_event_wait(*event, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_event, sp_event *, sp_none);

static sp_status set_event(sp_event *const *event, sp_none *result)
{
    (void)result;
    sp_event_set(*event);
    return SP_OK;
}
SP_TASK(set_event, sp_event *, sp_none);

static void assert_ends(sp_future *future)
{
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    sp_future_release(future);
}

/* The task that would set the event is behind the one that waits for it. */
static void a_pool_that_waits_for_what_it_has_queued_is_reported_once(void **state)
{
    (void)state;
    sp_event event = { 0 }, relief = { 0 }, never = { 0 };
    told.relief = &relief;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2, .thread_name_prefix = "starving");
    double begin = sp_monotonic();
    sp_future *waits[] = { sp_submit(pool, wait_for_event, &event), sp_submit(pool, wait_for_event, &event) };
    sp_future *sets = sp_submit(pool, set_event, &event);
    assert_true(sp_event_wait(&relief, (double)test_patience())); /* never, if nobody reports */
    assert_true(sp_monotonic() - begin >= 1);
    assert_told("starving");
    assert_told("wait_for_event");
    assert_told("set_event");
    assert_int_equal(sp_future_wait(sets, SP_NOWAIT), false);
    assert_int_equal(reports(), 1);
    sp_future *another = sp_submit(pool, set_event, &event); /* who submits looks as well */
    assert_false(sp_event_wait(&never, 1.5));                /* and they look again each second */
    assert_int_equal(reports(), 1);
    sp_event_set(&event); /* what the program should have done with one more worker */
    assert_ends(waits[0]);
    assert_ends(waits[1]);
    assert_ends(sets);
    assert_ends(another);
    assert_int_equal(reports(), 1);
}

/* Who queues a task behind tasks that have slept for long already tells at once. */
static void a_submit_to_a_pool_that_sleeps_is_reported(void **state)
{
    (void)state;
    sp_event event = { 0 }, relief = { 0 };
    told.relief = &relief;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_future *waits = sp_submit(pool, wait_for_event, &event);
    for (unsigned round = 0; round < 2; round++) {
        sp_future *sets = sp_submit(pool, set_event, &event);
        assert_true(sp_event_wait(&relief, (double)test_patience()));
        assert_int_equal(reports(), round + 1);
        sp_event_set(&event); /* ends the wait: the next is a new one */
        assert_ends(waits);
        assert_ends(sets);
        sp_event_clear(&event);
        sp_event_clear(&relief);
        waits = sp_submit(pool, wait_for_event, &event);
    }
    sp_event_set(&event);
    assert_ends(waits);
}

/* A task that a task has submitted lies in the worker's own queue. */
static sp_executor *nest;
static sp_status submit_and_wait(sp_event *const *event, sp_none *result)
{
    (void)result;
    sp_auto(sp_future) sets = sp_submit(nest, set_event, *event);
    (void)sp_event_wait(*event, SP_FOREVER);
    return SP_OK;
}
SP_TASK(submit_and_wait, sp_event *, sp_none);

static void a_task_that_waits_for_what_it_has_submitted_by_an_event_is_reported(void **state)
{
    (void)state;
    sp_event event = { 0 };
    told.relief = &event; /* the hook itself may help */
    sp_auto(sp_executor) pool = nest = sp_thread_pool(.max_workers = 1);
    assert_ends(sp_submit(pool, submit_and_wait, &event));
    assert_int_equal(reports(), 1);
    assert_told("submit_and_wait");
    assert_told("1 tasks");
}

/* Sleeping is no wait for anybody, and a wait for the own pool's future is no starvation. */
static sp_status sleep_long(const int *unused, int *result)
{
    sp_sleep(1.2);
    *result = *unused;
    return SP_OK;
}
SP_TASK(sleep_long, int, int);

static sp_status wait_timed(const int *unused, int *result)
{
    sp_auto(sp_future) inner = sp_submit(nest, sleep_long, *unused);
    return sp_result(inner, result, 60.0);
}
SP_TASK(wait_timed, int, int);

static void sleepers_and_waits_for_the_own_pool_are_not_reported(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = nest = sp_thread_pool(.max_workers = 1);
    sp_future *outer = sp_submit(pool, wait_timed, 7), *behind = sp_submit(pool, sleep_long, 8);
    int value = 0;
    assert_int_equal(sp_result(outer, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 7);
    assert_ends(outer);
    assert_ends(behind);
    assert_int_equal(reports(), 0);
}

/* The last one that moved was a worker too many: it stood in for one that is back, and lies down. */
static sp_event is_back;
static uint32_t busy_may_end; /* atomic */

static sp_status be_busy(const int *unused, int *result)
{
    while (!sp__load_acquire(&busy_may_end))
        sched_yield();
    *result = *unused;
    return SP_OK;
}
SP_TASK(be_busy, int, int);

static sp_status come_back_and_wait(sp_event *const *event, sp_none *result)
{
    (void)result;
    sp_auto(sp_future) inner = sp_submit(nest, be_busy, 1);
    if (sp_result(inner, NULL, 0.05) != SP_TIMEOUT)
        return SP_RUNTIME_ERROR;
    sp_event_set(&is_back);
    (void)sp_event_wait(*event, SP_FOREVER);
    return SP_OK;
}
SP_TASK(come_back_and_wait, sp_event *, sp_none);

static void a_pool_whose_last_worker_to_move_was_one_too_many_is_reported(void **state)
{
    (void)state;
    sp_event event = { 0 }, relief = { 0 };
    told.relief = &relief;
    sp__store_release(&busy_may_end, 0);
    sp_auto(sp_executor) pool = nest = sp_thread_pool(.max_workers = 1);
    sp_future *waits = sp_submit(pool, come_back_and_wait, &event);
    assert_true(sp_event_wait(&is_back, SP_FOREVER));
    sp_future *sets = sp_submit(pool, set_event, &event);
    sp_sleep(0.05); /* if the first goes to sleep later, it looks itself: the same report */
    sp__store_release(&busy_may_end, 1);
    assert_true(sp_event_wait(&relief, 30.0));
    assert_told("come_back_and_wait");
    assert_told("set_event");
    sp_event_set(&event);
    assert_ends(waits);
    assert_ends(sets);
    assert_int_equal(reports(), 1);
}

/* The pool waits on with the workers that it may have, whoever looks. */
static void tasks_that_all_sleep_in_other_waits_are_only_reported(void **state)
{
    (void)state;
    sp_executor_statistics counts;
    sp_event event = { 0 }, relief = { 0 };
    told.relief = &relief;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2, .max_compensation = 1);
    sp_future *futures[] = { sp_submit(pool, wait_for_event, &event), sp_submit(pool, wait_for_event, &event),
                             sp_submit(pool, set_event, &event), NULL };
    assert_true(sp_event_wait(&relief, (double)test_patience()));
    futures[3] = sp_submit(pool, set_event, &event); /* who submits looks as well */
    sp_executor_stats(pool, &counts);
    assert_int_equal(counts.workers, 2);
    assert_int_equal(counts.completed, 0);
    assert_int_equal(reports(), 1);
    sp_event_set(&event);
    for (int i = 0; i < 4; i++)
        assert_ends(futures[i]);
}

int main(int argc, char **argv)
{
    (void)argc;
#define STARVATION_TEST(test) cmocka_unit_test_setup_teardown(test, listen, stop_listening)
    static const struct CMUnitTest tests[] = {
        STARVATION_TEST(a_pool_that_waits_for_what_it_has_queued_is_reported_once),
        STARVATION_TEST(a_submit_to_a_pool_that_sleeps_is_reported),
        STARVATION_TEST(a_task_that_waits_for_what_it_has_submitted_by_an_event_is_reported),
        STARVATION_TEST(a_pool_whose_last_worker_to_move_was_one_too_many_is_reported),
        STARVATION_TEST(sleepers_and_waits_for_the_own_pool_are_not_reported),
        STARVATION_TEST(tasks_that_all_sleep_in_other_waits_are_only_reported),
    };
    return abreast_run(argv[0], argv[1], tests, sizeof tests / sizeof tests[0]);
}
