/* Windows between a queue and those who put, take and drop: what is on its way there is neither lost nor dropped twice, and
   the pool stays as long as somebody comes back to it.  In a process whose memory is counted.

   SPDX-License-Identifier: MIT */
#include "leaks.h"
#include "window.h"

#include <string.h>

#include "executor/pool.h"

static sp_executor *pool;
static sp_event gate; /* holders wait here */

static uint32_t dropped; /* atomic; arguments */

static void drop_number(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&dropped, 1);
}

enum { MOST = 8 };
static int order[MOST];
static uint32_t ran; /* atomic */

static sp_status note(const int *in, int *out)
{
    uint32_t index = sp__add_seq_cst(&ran, 1);
    if (index < MOST)
        order[index] = *in;
    *out = *in;
    return SP_OK;
}
SP_TASK_OWNING(note, int, int, drop_number, NULL);

static sp_status hold(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_event_wait(&gate, (double)test_patience()) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(hold, sp_none, sp_none);

static void begin(sp_executor *made)
{
    sp_event_clear(&gate);
    sp__store_seq_cst(&ran, 0);
    sp__store_seq_cst(&dropped, 0);
    pool = made;
}

static sp_future *submit_holder(void)
{
    sp_future *holder = sp_submit(pool, hold);
    test_await(sp_future_running(holder) && sp__load_relaxed(&sp__pool_of(pool)->starting) == 0);
    return holder;
}

static void end(void)
{
    assert_true(sp_executor_wait_idle(pool, (double)test_patience()));
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static void assert_ends(sp_future *future, sp_status expected)
{
    assert_int_equal(sp_result(future, NULL, (double)test_patience()), expected);
    sp_future_release(future);
}

/* ---- a submit comes back to the pool ---- */

static sp_future *submitted;

static void submit_one(void *context)
{
    (void)context;
    submitted = sp_submit(pool, note, 1);
}

/* Until it has looked for a worker somebody else's may run the task, which may release the last handle. */
static void a_submit_that_may_have_to_call_a_worker_keeps_the_pool(void **state)
{
    (void)state;
    one submitter;
    begin(sp_thread_pool(.max_workers = 1));
    struct pause *window = pause_at("pool: put");
    one_start(&submitter, submit_one, NULL);
    pause_await(window);
    assert_int_equal(sp__load_seq_cst(&pool->refs), 2); /* all handles together, and the submit */
    pause_end(window);
    one_end(&submitter);
    assert_ends(submitted, SP_OK);
    end();
}

static void a_submit_that_waits_for_room_keeps_the_pool(void **state)
{
    (void)state;
    one submitter;
    begin(sp_thread_pool(.max_workers = 1, .max_pending = 1));
    sp_future *holder = submit_holder(), *queued = sp_submit(pool, note, 0);
    struct pause *window = pause_at("pool: no room");
    one_start(&submitter, submit_one, NULL);
    pause_await(window);
    assert_int_equal(sp__load_seq_cst(&pool->refs), 3); /* and a worker */
    pause_end(window);
    sp_event_set(&gate);
    one_end(&submitter);
    assert_ends(holder, SP_OK);
    assert_ends(queued, SP_OK);
    assert_ends(submitted, SP_OK);
    end();
}

/* ---- the last place for a deque ---- */

static sp_status post_own(const int *in, int *out)
{
    *out = 0;
    return sp_post(pool, note, *in);
}
SP_TASK(post_own, int, int);

static void two_workers_want_the_last_deque(void)
{
    begin(sp_thread_pool(.max_workers = 2));
    struct sp__pool *of_pool = sp__pool_of(pool);
    of_pool->most_deques = 1;
    struct pause *window = pause_at("find: has room for a deque");
    sp_future *first = sp_submit(pool, post_own, 1);
    pause_await(window);
    assert_ends(sp_submit(pool, post_own, 2), SP_OK);
    pause_end(window);
    assert_ends(first, SP_OK);
    assert_true(sp_executor_wait_idle(pool, (double)test_patience()));
    assert_int_equal(of_pool->deque_count, 1);
    assert_int_equal(sp__load_seq_cst(&ran), 2);
    end();
}

static void one_of_two_workers_has_the_last_deque(void **state)
{
    (void)state;
    two_workers_want_the_last_deque();
}
LEAKS_NOTHING(two_workers_want_the_last_deque)

/* ---- a pool that is about to fail what is queued ---- */

static uint32_t initialized; /* atomic; workers */

static sp_status third_fails(void *arg)
{
    (void)arg;
    return sp__add_seq_cst(&initialized, 1) == 2 ? sp_raise(SP_USER_ERROR, "the third") : SP_OK;
}

static sp_future *awaited;

/* With a limit: another worker is called to run it. */
static sp_status wait_for_awaited(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return hold(in, out) == SP_OK ? sp_future_wait(awaited, (double)test_patience()) ? SP_OK : SP_TIMEOUT : SP_TIMEOUT;
}
SP_TASK(wait_for_awaited, sp_none, sp_none);

static void assert_is_broken(sp_future *future)
{
    assert_true(sp_future_wait(future, (double)test_patience()));
    const sp_error *error = sp_future_error(future);
    assert_int_equal(error->status, SP_BROKEN_POOL);
    assert_string_equal(error->message, SP__BROKEN_TEXT ": the third");
}

static sp_event holder_ends;

static sp_status hold_on(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_event_wait(&holder_ends, (double)test_patience()) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(hold_on, sp_none, sp_none);

/* A worker ends its task while the pool is broken and all is still queued: it fails first what a task waits for, in the middle
   of the inbox, then the others. */
static void a_worker_meets_what_is_queued_in_a_broken_pool(void)
{
    sp__store_seq_cst(&initialized, 0);
    sp_event_clear(&holder_ends);
    begin(sp_thread_pool(.max_workers = 2, .initializer = third_fails));
    sp_future *holder = sp_submit(pool, hold_on), *waiter = sp_submit(pool, wait_for_awaited), *queued[3];
    test_await(sp_future_running(holder) && sp_future_running(waiter));
    for (int i = 0; i < 3; i++)
        queued[i] = sp_submit(pool, note, i);
    awaited = queued[1];
    struct pause *window = pause_at("worker: broken");
    sp_event_set(&gate);
    pause_await(window);
    sp_event_set(&holder_ends);
    for (int i = 0; i < 3; i++)
        assert_is_broken(queued[i]);
    assert_ends(holder, SP_OK);
    assert_ends(waiter, SP_OK);
    pause_end(window);
    for (int i = 0; i < 3; i++)
        assert_is_broken(queued[i]);
    end();
    sp_release_all(queued, 3);
    assert_int_equal(sp__load_seq_cst(&ran), 0);
    assert_int_equal(sp__load_seq_cst(&dropped), 3);
}

static void what_a_worker_meets_in_a_broken_pool_fails_once_and_says_why(void **state)
{
    (void)state;
    a_worker_meets_what_is_queued_in_a_broken_pool();
}
LEAKS_NOTHING(a_worker_meets_what_is_queued_in_a_broken_pool)

/* ---- what a task waits for is cancelled when a worker is about to run it ---- */

static sp_status wait_for_cancelled(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    awaited = sp_submit(pool, note, 1);
    return sp_future_wait(awaited, (double)test_patience()) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(wait_for_cancelled, sp_none, sp_none);

static void what_is_cancelled_when_a_worker_has_it_is_dropped(void **state)
{
    (void)state;
    begin(sp_thread_pool(.max_workers = 1));
    struct pause *first = pause_at("worker: has a task"), *second = pause_at("worker: has a task");
    sp_future *waits = sp_submit(pool, wait_for_cancelled);
    pause_end(first);
    pause_await(second);
    assert_true(sp_future_cancel(awaited));
    pause_end(second);
    assert_ends(waits, SP_OK);
    end();
    assert_int_equal(sp__load_seq_cst(&dropped), 0);
    sp_future_release(awaited);
    assert_int_equal(sp__load_seq_cst(&dropped), 1);
    assert_int_equal(sp__load_seq_cst(&ran), 0);
}

/* ---- who cancels still needs the pool when a worker meets what was cancelled ---- */

static sp_future *own[3];

static sp_status submit_own_and_hold(const sp_none *in, sp_none *out)
{
    for (int i = 0; i < 3; i++)
        own[i] = sp_submit(pool, note, i);
    return hold(in, out);
}
SP_TASK(submit_own_and_hold, sp_none, sp_none);

static void cancel_second(void *context)
{
    (void)context;
    assert_true(sp_future_cancel(own[1]));
}

static void a_worker_that_meets_what_was_cancelled_waits_for_who_has_cancelled_it(void **state)
{
    (void)state;
    one canceller;
    begin(sp_thread_pool(.max_workers = 1));
    sp_future *parent = sp_submit(pool, submit_own_and_hold);
    test_await(sp__load_seq_cst(&sp__pool_of(pool)->parked) == 1);
    struct pause *cancels = pause_at("dead: cancelled");
    one_start(&canceller, cancel_second, NULL);
    pause_await(cancels);
    struct pause *waits = pause_at("word lock: taken");
    sp_event_set(&gate);
    test_await(pause_is_reached(waits) || sp__load_seq_cst(&ran) == 2);
    assert_int_equal(sp__load_seq_cst(&ran), 1);
    pause_end(cancels);
    pause_end(waits);
    one_end(&canceller);
    assert_ends(parent, SP_OK);
    assert_true(sp_executor_wait_idle(pool, (double)test_patience()));
    test_await(sp__load_relaxed(&sp__pool_of(pool)->deques[0]->dead) == 0); /* relaxed: a count */
    end();
    sp_release_all(own, 3);
    assert_int_equal(sp__load_seq_cst(&dropped), 3);
}

/* ---- two submitters call a worker at once ---- */

static sp_status wait_for_busy(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_auto(sp_future) inner = sp_submit(pool, hold_on);
    return sp_future_wait(inner, (double)test_patience()) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(wait_for_busy, sp_none, sp_none);

static bool two_sleep(void)
{
    return sp__crew_asleep(sp__load_seq_cst(&sp__pool_of(pool)->crew)) == 2;
}

/* There are two workers, for one stood in for the other; one of them may run. */
static void of_two_that_are_called_at_once_one_is_woken(void **state)
{
    (void)state;
    one submitter;
    sp_event_clear(&holder_ends);
    begin(sp_thread_pool(.max_workers = 1));
    sp_future *waits = sp_submit(pool, wait_for_busy);
    test_await(sp__crew_awake(sp__load_seq_cst(&sp__pool_of(pool)->crew)) == 1 && sp_future_running(waits));
    sp_event_set(&holder_ends);
    assert_ends(waits, SP_OK);
    test_await(two_sleep());
    struct pause *window = pause_at("crew: needs one");
    one_start(&submitter, submit_one, NULL);
    pause_await(window);
    sp_future *holder = sp_submit(pool, hold);
    test_await(sp__load_seq_cst(&ran) == 1); /* what the submitter has queued came first */
    test_await(sp_future_running(holder));
    pause_end(window);
    one_end(&submitter);
    assert_int_equal(sp__crew_awake(sp__load_seq_cst(&sp__pool_of(pool)->crew)), 1);
    sp_event_set(&gate);
    assert_ends(submitted, SP_OK);
    assert_ends(holder, SP_OK);
    end();
}

/* ---- all that is queued fails, and the pool goes on ---- */

static void what_comes_after_all_that_was_queued_has_failed_is_run(void **state)
{
    (void)state;
    sp_event_clear(&holder_ends);
    begin(sp_thread_pool(.max_workers = 1));
    sp_future *first = submit_holder(), *second = sp_submit(pool, hold_on), *queued[2];
    for (int i = 0; i < 2; i++)
        queued[i] = sp_submit(pool, note, i);
    sp_event_set(&gate); /* the worker takes over all three, and runs the first of them */
    assert_ends(first, SP_OK);
    test_await(sp_future_running(second));
    sp__pool_fail_all(sp__pool_of(pool), SP_OS_ERROR, NULL, "on purpose");
    for (int i = 0; i < 2; i++)
        assert_ends(queued[i], SP_OS_ERROR);
    sp_future *last = sp_submit(pool, note, 5);
    sp_event_set(&holder_ends);
    assert_ends(second, SP_OK);
    assert_ends(last, SP_OK);
    end();
    assert_int_equal(sp__load_seq_cst(&ran), 1);
    assert_int_equal(order[0], 5);
}

/* ---- a deque is emptied and filled again ---- */

enum { CHILDREN = 6 };

/* The others of its children remain, and are run by somebody else. */
static sp_status cancel_half_and_wait(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_future *children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++)
        children[i] = sp_submit(pool, note, i);
    for (int i = 1; i <= CHILDREN / 2; i++)
        (void)sp_future_cancel(children[i]);
    sp_release_all(children, CHILDREN);
    return hold(in, out);
}
SP_TASK(cancel_half_and_wait, sp_none, sp_none);

static bool one_sleeps(void)
{
    return sp__crew_asleep(sp__load_seq_cst(&sp__pool_of(pool)->crew)) == 1;
}

static void who_lies_down_while_a_deque_is_sifted_is_called_and_the_rest_runs_in_its_order(void **state)
{
    (void)state;
    sp_event_clear(&holder_ends);
    begin(sp_thread_pool(.max_workers = 2));
    sp_future *holder = sp_submit(pool, hold_on);
    test_await(sp_future_running(holder) && sp__load_relaxed(&sp__pool_of(pool)->starting) == 0);
    struct pause *window = pause_at("dead: taken out");
    sp_future *parent = sp_submit(pool, cancel_half_and_wait);
    pause_await(window);
    sp_event_set(&holder_ends);
    test_await(one_sleeps());
    pause_end(window);
    test_await(sp__load_seq_cst(&ran) == CHILDREN / 2);
    sp_event_set(&gate);
    assert_ends(holder, SP_OK);
    assert_ends(parent, SP_OK);
    end();
    assert_int_equal(order[0], 0);
    assert_int_equal(order[1], CHILDREN - 2);
    assert_int_equal(order[2], CHILDREN - 1);
    assert_int_equal(sp__load_seq_cst(&dropped), CHILDREN);
}

int main(int argc, char **argv)
{
    (void)argc;
    leaks_begin(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submit_that_may_have_to_call_a_worker_keeps_the_pool),
        cmocka_unit_test(a_submit_that_waits_for_room_keeps_the_pool),
        cmocka_unit_test(one_of_two_workers_has_the_last_deque),
        cmocka_unit_test(leaks_of_two_workers_want_the_last_deque),
        cmocka_unit_test(what_a_worker_meets_in_a_broken_pool_fails_once_and_says_why),
        cmocka_unit_test(leaks_of_a_worker_meets_what_is_queued_in_a_broken_pool),
        cmocka_unit_test(what_is_cancelled_when_a_worker_has_it_is_dropped),
        cmocka_unit_test(a_worker_that_meets_what_was_cancelled_waits_for_who_has_cancelled_it),
        cmocka_unit_test(of_two_that_are_called_at_once_one_is_woken),
        cmocka_unit_test(what_comes_after_all_that_was_queued_has_failed_is_run),
        cmocka_unit_test(who_lies_down_while_a_deque_is_sifted_is_called_and_the_rest_runs_in_its_order),
    };
    return cmocka_run_group_tests_name("queues window", tests, NULL, NULL);
}
