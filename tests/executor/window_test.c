/* Windows of a pool, held open: a worker that is about to sleep or to end, a submitter that is about to wait.

   SPDX-License-Identifier: MIT */
#include "window.h"

#include <spool.h>

#include "base/atomic.h"

static sp_status answer(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(answer, int, int);

static void assert_answers(sp_future *future, int expected)
{
    int value = -1;
    assert_int_equal(sp_result(future, &value, (double)test_patience()), SP_OK);
    assert_int_equal(value, expected);
    sp_future_release(future);
}

static void end_pool(sp_executor *pool)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* It has looked and found nothing, and counts as one that searches: who submits then calls nobody. */
static void a_task_that_comes_before_a_worker_sleeps_is_run(void **state)
{
    (void)state;
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    struct pause *window = pause_at("crew: found nothing");
    assert_answers(sp_submit(pool, answer, 1), 1);
    pause_await(window);
    sp_future *future = sp_submit(pool, answer, 2);
    pause_end(window);
    assert_answers(future, 2);
    end_pool(pool);
}

static void submit_when_a_worker_is(const char *site)
{
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    struct pause *found_nothing = pause_at("crew: found nothing");
    assert_answers(sp_submit(pool, answer, 1), 1);
    pause_await(found_nothing);
    struct pause *window = pause_at(site);
    pause_end(found_nothing);
    pause_await(window);
    sp_future *future = sp_submit(pool, answer, 2);
    pause_end(window);
    assert_answers(future, 2);
    end_pool(pool);
}

static void a_task_that_comes_when_a_worker_lies_down_is_run(void **state)
{
    (void)state;
    submit_when_a_worker_is("park: linked");
    submit_when_a_worker_is("park: asleep");
}

/* Its time is up; a task comes, and calls it before it has ended. */
static void a_worker_whose_idle_time_is_up_runs_the_task_that_comes_then(void **state)
{
    (void)state;
    sp_executor *pool = sp_thread_pool(.max_workers = 1, .idle_seconds = 0.001);
    struct pause *window = pause_at("crew: rises");
    assert_answers(sp_submit(pool, answer, 1), 1);
    pause_await(window);
    sp_future *future = sp_submit(pool, answer, 2);
    pause_end(window);
    assert_answers(future, 2);
    end_pool(pool);
}

static uint32_t has_run; /* atomic */

static sp_status note_run(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp__store_seq_cst(&has_run, 1);
    return SP_OK;
}
SP_TASK(note_run, sp_none, sp_none);

static void post_run(void *context)
{
    assert_int_equal(sp_post(context, note_run), SP_OK);
}

/* Whoever has called it is about to wake it, and touches it until then. */
static void a_worker_whose_idle_time_is_up_waits_until_it_is_woken(void **state)
{
    (void)state;
    one submitter;
    sp_executor *pool = sp_thread_pool(.max_workers = 1, .idle_seconds = 0.001);
    struct pause *rises = pause_at("crew: rises"), *wakes = pause_at("crew: wakes");
    assert_answers(sp_submit(pool, answer, 1), 1);
    pause_await(rises);
    one_start(&submitter, post_run, pool);
    pause_await(wakes);
    struct pause *asleep = pause_at("park: asleep");
    pause_end(rises);
    test_await(pause_is_reached(asleep) || sp__load_seq_cst(&has_run));
    assert_int_equal(sp__load_seq_cst(&has_run), 0);
    pause_end(wakes);
    pause_end(asleep);
    one_end(&submitter);
    test_await(sp__load_seq_cst(&has_run));
    end_pool(pool);
}

/* The same for the end of the pool. */
static void a_worker_whose_idle_time_is_up_when_the_pool_is_shut_down_ends(void **state)
{
    (void)state;
    sp_executor *pool = sp_thread_pool(.max_workers = 1, .idle_seconds = 0.001);
    struct pause *window = pause_at("crew: rises");
    assert_answers(sp_submit(pool, answer, 1), 1);
    pause_await(window);
    assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK);
    pause_end(window);
    end_pool(pool);
}

/* ---- one worker too many ---- */

static sp_executor *lender;

static sp_status wait_for_another(const int *in, int *out)
{
    sp_auto(sp_future) inner = sp_submit(lender, answer, *in);
    return sp_result(inner, out, (double)test_patience());
}
SP_TASK(wait_for_another, int, int);

static unsigned workers_of_lender(void)
{
    sp_executor_statistics stats;
    sp_executor_stats(lender, &stats);
    return stats.workers;
}

/* The one that stood in for another, and that other, have been idle for as long as one too many may be.  While the one is on
   its way out, the other looks. */
static void of_two_workers_whose_idle_time_is_up_the_one_that_is_not_too_many_stays(void **state)
{
    (void)state;
    lender = sp_thread_pool(.max_workers = 1);
    struct pause *first = pause_at("crew: rises"), *second = pause_at("crew: rises");
    struct pause *leaves = pause_at("crew: leaves");
    assert_answers(sp_submit(lender, wait_for_another, 1), 1);
    pause_await(first);
    pause_await(second);
    assert_int_equal(workers_of_lender(), 2);
    pause_end(first);
    pause_await(leaves);
    struct pause *asleep = pause_at("park: asleep");
    pause_end(second);
    test_await(pause_is_reached(asleep) || workers_of_lender() == 0);
    assert_int_equal(workers_of_lender(), 1);
    pause_end(leaves);
    pause_end(asleep);
    end_pool(lender);
}

/* ---- a bound ---- */

static sp_event gate;

static sp_status wait_at_gate(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_event_wait(&gate, SP_FOREVER) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(wait_at_gate, sp_none, sp_none);

struct submitting {
    sp_executor *pool;
    sp_future *future;
};

static void submit(void *context)
{
    struct submitting *submitting = context;
    submitting->future = sp_submit(submitting->pool, answer, 3);
}

static void await_done(sp_future *future)
{
    assert_true(sp_future_wait(future, (double)test_patience()));
    sp_future_release(future);
}

/* There was no room; then all that was queued is run before the submitter waits. */
static void room_that_comes_before_a_submitter_waits_is_taken(void **state)
{
    (void)state;
    struct submitting submitting = { sp_thread_pool(.max_workers = 1, .max_pending = 1), NULL };
    one submitter;
    sp_future *runs = sp_submit(submitting.pool, wait_at_gate, SP_NONE);
    test_await(sp_future_running(runs));
    sp_future *queued = sp_submit(submitting.pool, answer, 2);
    struct pause *window = pause_at("pool: no room");
    one_start(&submitter, submit, &submitting);
    pause_await(window);
    sp_event_set(&gate);
    await_done(runs);
    await_done(queued);
    pause_end(window);
    one_end(&submitter);
    assert_answers(submitting.future, 3);
    end_pool(submitting.pool);
}

/* ---- a report of starvation ---- */

static uint32_t reports; /* atomic */

static void count_report(const char *report, void *context)
{
    (void)report, (void)context;
    sp__add_seq_cst(&reports, 1);
}

static void a_pool_whose_queue_becomes_empty_does_not_starve(void **state)
{
    (void)state;
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    sp_event_clear(&gate);
    sp_set_starvation_hook(count_report, NULL);
    struct pause *looks = pause_at("starvation: looks");
    sp_future *runs = sp_submit(pool, wait_at_gate, SP_NONE), *queued = sp_submit(pool, answer, 1);
    pause_await(looks);
    assert_true(sp_future_cancel(queued));
    pause_end(looks);
    sp_event_set(&gate);
    assert_true(sp_future_wait(runs, SP_FOREVER));
    end_pool(pool);
    sp_set_starvation_hook(NULL, NULL);
    assert_int_equal(sp__load_seq_cst(&reports), 0);
    sp_future_release(runs);
    sp_future_release(queued);
}

/* ---- the last worker of a pool that nobody holds ---- */

static void join_all(void *context)
{
    (void)context;
    assert_true(sp_join_all(SP_FOREVER));
}

static void join_all_waits_for_the_worker_that_frees_its_pool(void **state)
{
    (void)state;
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    struct pause *lets_go = pause_at("executor: let go"), *waits = pause_at("park: blocks");
    sp_event_clear(&gate);
    assert_int_equal(sp_post(pool, wait_at_gate, SP_NONE), SP_OK);
    sp_executor_release(pool);
    sp_event_set(&gate); /* now the worker is the last that holds it */
    pause_await(lets_go);
    one joiner;
    one_start(&joiner, join_all, NULL);
    test_await(pause_is_reached(waits) || bunch_finished(&joiner) == 1);
    bool waited = pause_is_reached(waits);
    pause_end(lets_go);
    pause_end(waits);
    one_end(&joiner);
    assert_true(waited);
}

/* ---- a pool that gets something from another ---- */

struct both {
    sp_executor *first, *second;
};
static sp_event may_give;

static sp_status give_to_the_first(const struct both *both, sp_none *out)
{
    (void)out;
    (void)sp_event_wait(&may_give, SP_FOREVER);
    return sp_post(both->first, wait_at_gate, SP_NONE);
}
SP_TASK(give_to_the_first, struct both, sp_none);

static void join_all_for_a_while(void *ret_done)
{
    *(bool *)ret_done = sp_join_all(1);
}

/* It has seen that the first one rests, and sleeps at the second.  A pool that is at work is not closed. */
static void join_all_with_a_limit_looks_again_at_a_pool_that_was_given_something(void **state)
{
    (void)state;
    struct both both = { sp_thread_pool(.max_workers = 1), sp_thread_pool(.max_workers = 1) };
    bool done = true;
    one joiner;
    sp_event_clear(&gate);
    sp_future *gives = sp_submit_from(both.second, give_to_the_first, &both);
    one_start_asleep(&joiner, join_all_for_a_while, &done);
    sp_event_set(&may_give);
    one_end(&joiner);
    assert_int_equal(sp_result(gives, NULL, SP_FOREVER), SP_OK);
    assert_false(done);
    assert_int_equal(sp_post(both.first, answer, 1), SP_OK);
    sp_event_set(&gate);
    end_pool(both.first);
    end_pool(both.second);
    sp_future_release(gives);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_that_comes_before_a_worker_sleeps_is_run),
        cmocka_unit_test(a_task_that_comes_when_a_worker_lies_down_is_run),
        cmocka_unit_test(a_worker_whose_idle_time_is_up_runs_the_task_that_comes_then),
        cmocka_unit_test(a_worker_whose_idle_time_is_up_waits_until_it_is_woken),
        cmocka_unit_test(a_worker_whose_idle_time_is_up_when_the_pool_is_shut_down_ends),
        cmocka_unit_test(of_two_workers_whose_idle_time_is_up_the_one_that_is_not_too_many_stays),
        cmocka_unit_test(room_that_comes_before_a_submitter_waits_is_taken),
        cmocka_unit_test(a_pool_whose_queue_becomes_empty_does_not_starve),
        cmocka_unit_test(join_all_with_a_limit_looks_again_at_a_pool_that_was_given_something),
        cmocka_unit_test(join_all_waits_for_the_worker_that_frees_its_pool),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
