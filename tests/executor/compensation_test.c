/* Who runs while tasks wait for tasks of their own pool, and how many workers that takes.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <stdlib.h>

#include <spool.h>

#include "executor/pool.h"
#include "os/fault.h"

static sp_executor *pool; /* of the test that runs */

static struct sp__pool seen_of_pool(void)
{
    struct sp__pool *of_pool = sp__pool_of(pool), seen;
    sp_lock_acquire(&of_pool->lock);
    seen.lent = of_pool->lent;
    seen.kept = sp__load_relaxed(&of_pool->kept);
    seen.workers = of_pool->workers;
    sp_lock_release(&of_pool->lock);
    return seen;
}

static unsigned workers(void)
{
    return seen_of_pool().workers;
}

/* Nothing runs: no worker has kept or lent its permit in a wait. */
static void assert_no_worker_waits(struct sp__pool *of_pool)
{
    SP_HOLD(&of_pool->lock);
    for (struct sp__list *at = of_pool->all.next; at != &of_pool->all; at = at->next) {
        const struct sp__worker *worker = sp__container_of(at, struct sp__worker, member);
        assert_false(worker->keeps || worker->lent);
    }
}

/* All loans are over, and nobody is counted as asleep in a wait. */
static void end_pool(void)
{
    struct sp__pool *of_pool = sp__pool_of(pool);
    sp_executor_statistics stats;
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    sp_executor_stats(pool, &stats);
    assert_int_equal(stats.submitted, stats.completed);
    assert_no_worker_waits(of_pool);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(of_pool->lent, 0);
    assert_int_equal(of_pool->reliefs, 0); /* the next relief comes as soon as the first */
    assert_int_equal(sp__load_relaxed(&of_pool->kept), 0);
    assert_int_equal(sp__load_relaxed(&of_pool->parked), 0);
    assert_int_equal(sp__load_relaxed(&of_pool->crew), 0);
    assert_true(sp__list_empty(&of_pool->keepers) && sp__list_empty(&of_pool->loans));
    sp_executor_release(pool);
}

/* ---- many wait for one ---- */

static sp_event load_ends;
static sp_future *load;

static sp_status load_slowly(const sp_none *in, int *out)
{
    (void)in;
    (void)sp_event_wait(&load_ends, SP_FOREVER);
    *out = 42;
    return SP_OK;
}
SP_TASK(load_slowly, sp_none, int);

static sp_status wait_for_load(const double *timeout, int *out)
{
    return sp_result(load, out, *timeout);
}
SP_TASK(wait_for_load, double, int);

enum { REQUESTS = 1000 };
static sp_future *requests[REQUESTS];

static void submit_requests(double timeout)
{
    for (int i = 0; i < REQUESTS; i++)
        requests[i] = sp_submit(pool, wait_for_load, timeout);
}

static void assert_all_have(int expected)
{
    for (int i = 0; i < REQUESTS; i++) {
        int value = 0;
        assert_int_equal(sp_result(requests[i], &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, expected);
    }
    sp_release_all(requests, REQUESTS);
}

static void many_tasks_that_wait_for_one_need_few_workers(void **state)
{
    (void)state;
    struct {
        unsigned max_workers, max_compensation, bound;
        double timeout;
    } cases[] = {
        { 4, 0, 4 + 32, SP_FOREVER },
        { 4, 1, 4 + 1, 60.0 },
        { 2, 7, 2 + 7, SP_FOREVER },
        { 2, 0, 2 + 24, 60.0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sp_event_clear(&load_ends);
        pool = sp_thread_pool(.max_workers = cases[i].max_workers, .max_compensation = cases[i].max_compensation);
        load = sp_submit(pool, load_slowly, SP_NONE);
        test_await(sp_future_running(load));
        submit_requests(cases[i].timeout);
        test_await(workers() >= cases[i].bound && seen_of_pool().kept == cases[i].max_workers - 1);
        sp_sleep(0.05);
        /* while all sleep one more is started now and then, less and less often, in case that what runs needs it */
        assert_in_range(workers(), cases[i].bound, cases[i].bound + 10);
        sp_event_set(&load_ends);
        assert_all_have(42);
        sp_future_release(load);
        end_pool();
    }
}

static void those_who_keep_their_permit_wait_no_longer_than_they_want(void **state)
{
    (void)state;
    sp_event_clear(&load_ends);
    pool = sp_thread_pool(.max_workers = 2, .max_compensation = 1);
    load = sp_submit(pool, load_slowly, SP_NONE);
    test_await(sp_future_running(load));
    for (int i = 0; i < 20; i++)
        requests[i] = sp_submit(pool, wait_for_load, 0.01);
    for (int i = 0; i < 20; i++)
        assert_int_equal(sp_result(requests[i], NULL, SP_FOREVER), SP_TIMEOUT);
    sp_release_all(requests, 20);
    sp_event_set(&load_ends);
    sp_future_release(load);
    end_pool();
}

static sp_event short_load_ends, may_go, has_come_back;
static sp_future *short_load;

static sp_status load_for_a_while(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    (void)sp_event_wait(&short_load_ends, SP_FOREVER);
    return SP_OK;
}
SP_TASK(load_for_a_while, sp_none, sp_none);

static sp_status come_back(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_status status = sp_result(short_load, NULL, SP_FOREVER);
    sp_event_set(&has_come_back);
    (void)sp_event_wait(&may_go, SP_FOREVER);
    return status;
}
SP_TASK(come_back, sp_none, sp_none);

/* One that comes back from its wait has the permit of one that kept its own. */
static void who_comes_back_takes_a_permit_that_is_kept(void **state)
{
    (void)state;
    sp_event_clear(&load_ends);
    pool = sp_thread_pool(.max_workers = 3, .max_compensation = 1);
    load = sp_submit(pool, load_slowly, SP_NONE);
    short_load = sp_submit(pool, load_for_a_while, SP_NONE);
    test_await(sp_future_running(load) && sp_future_running(short_load));
    sp_future *lends = sp_submit(pool, come_back, SP_NONE);
    test_await(seen_of_pool().lent == 1);
    sp_future *keeps = sp_submit(pool, wait_for_load, SP_FOREVER);
    test_await(seen_of_pool().kept == 1);
    sp_event_set(&short_load_ends);
    assert_true(sp_event_wait(&has_come_back, SP_FOREVER));
    assert_int_equal(seen_of_pool().kept, 0);
    assert_int_equal(seen_of_pool().lent, 1);
    sp_event_set(&may_go);
    sp_event_set(&load_ends);
    assert_int_equal(sp_result(lends, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_result(keeps, NULL, SP_FOREVER), SP_OK);
    sp_future *futures[] = { lends, keeps, short_load, load };
    sp_release_all(futures, 4);
    end_pool();
}

/* ---- a chain ---- */

static sp_event chain_begins;

static sp_status follow(sp_future *const *before, int *out)
{
    int value = 0;
    if (*before == NULL)
        (void)sp_event_wait(&chain_begins, SP_FOREVER);
    else if (sp_result(*before, &value, SP_FOREVER) != SP_OK)
        return SP_RUNTIME_ERROR;
    *out = value + 1;
    return SP_OK;
}
typedef sp_future *future_pointer;
SP_TASK(follow, future_pointer, int);

static void a_chain_of_waits_needs_few_workers(void **state)
{
    (void)state;
    sp_event_clear(&chain_begins);
    pool = sp_thread_pool(.max_workers = 2);
    size_t n = (size_t)test_count(20000);
    sp_future **chain = calloc(n, sizeof *chain);
    for (size_t i = 0; i < n; i++)
        chain[i] = sp_submit_from(pool, follow, &(future_pointer){ i > 0 ? chain[i - 1] : NULL });
    sp_event_set(&chain_begins);
    int value = 0;
    unsigned most = 0;
    while (sp_result(chain[n - 1], &value, 0.001) == SP_TIMEOUT)
        most = workers() > most ? workers() : most;
    assert_int_equal(value, n);
    assert_in_range(most, 0, 200); /* a thread that is woken may be slow to run */
    sp_release_all(chain, n);
    free(chain);
    end_pool();
}

/* ---- the bound gives way ---- */

static sp_status end_load(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_set(&load_ends);
    return SP_OK;
}
SP_TASK(end_load, sp_none, sp_none);

/* What all wait for waits itself for something behind them, and nobody knows that. */
static void what_runs_may_need_what_is_behind_those_who_wait_for_it(void **state)
{
    (void)state;
    enum { N = 8 };
    double quickest = 1;
    for (int late = 0; late < 2; late++) {
        for (unsigned max_workers = 2; max_workers <= 4; max_workers++) {
            sp_event_clear(&load_ends);
            pool = sp_thread_pool(.max_workers = max_workers, .max_compensation = 1);
            load = sp_submit(pool, load_slowly, SP_NONE);
            test_await(sp_future_running(load));
            for (int i = 0; i < N; i++)
                requests[i] = sp_submit(pool, wait_for_load, i % 2 ? 60.0 : SP_FOREVER);
            if (late) {
                test_await(seen_of_pool().kept == max_workers - 1);
                sp_sleep(0.01);
            }
            double before = test_now();
            sp_future *ends = sp_submit(pool, end_load, SP_NONE);
            for (int i = 0; i < N; i++)
                assert_int_equal(sp_result(requests[i], NULL, SP_FOREVER), SP_OK); /* never, if the bound stays */
            quickest = !late && test_now() - before < quickest ? test_now() - before : quickest;
            sp_release_all(requests, N);
            assert_int_equal(sp_result(ends, NULL, SP_FOREVER), SP_OK);
            sp_future_release(ends);
            sp_future_release(load);
            end_pool();
        }
    }
    assert_true(quickest < 0.9); /* they look soon, and not when they have starved for a second */
}

/* ---- the bound gives way slowly ---- */

enum { MORE = 6 };
static double begun_at[MORE];
static uint32_t begun; /* atomic */

static sp_status note_begin_and_sleep(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    begun_at[sp__add_seq_cst(&begun, 1)] = test_now();
    (void)sp_event_wait(&load_ends, SP_FOREVER);
    return SP_OK;
}
SP_TASK(note_begin_and_sleep, sp_none, sp_none);

/* At first after a millisecond. */
static void no_permit_is_given_up_at_once(void **state)
{
    (void)state;
    enum { ROUNDS = 20 };
    for (int i = 0; i < ROUNDS; i++) {
        sp_event_clear(&load_ends);
        sp__store_seq_cst(&begun, 0);
        pool = sp_thread_pool(.max_workers = 2, .max_compensation = 1);
        load = sp_submit(pool, load_slowly, SP_NONE);
        test_await(sp_future_running(load));
        requests[0] = sp_submit(pool, wait_for_load, SP_FOREVER);
        test_await(seen_of_pool().lent == 1);
        double before = test_now();
        requests[1] = sp_submit(pool, wait_for_load, SP_FOREVER);
        test_await(seen_of_pool().kept == 1);
        sp_future *more = sp_submit(pool, note_begin_and_sleep, SP_NONE);
        test_await(sp__load_seq_cst(&begun) == 1);
        sp_event_set(&load_ends);
        sp_future *all[] = { load, more, requests[0], requests[1] };
        for (int k = 0; k < 4; k++)
            assert_int_equal(sp_result(all[k], NULL, SP_FOREVER), SP_OK);
        assert_true(begun_at[0] - before >= 0.001);
        sp_release_all(all, 4);
        end_pool();
    }
}

/* Two, four, ... milliseconds after each other, however long all have slept before. */
static void each_permit_is_given_up_later_than_the_one_before(void **state)
{
    (void)state;
    sp_future *more[MORE];
    sp_event_clear(&load_ends);
    sp__store_seq_cst(&begun, 0);
    pool = sp_thread_pool(.max_workers = MORE + 1, .max_compensation = 1);
    load = sp_submit(pool, load_slowly, SP_NONE);
    test_await(sp_future_running(load));
    for (int i = 0; i < MORE + 1; i++)
        requests[i] = sp_submit(pool, wait_for_load, SP_FOREVER);
    test_await(seen_of_pool().kept == MORE);
    sp_sleep(0.1);
    double before = test_now();
    for (int i = 0; i < MORE; i++)
        more[i] = sp_submit(pool, note_begin_and_sleep, SP_NONE);
    test_await(sp__load_seq_cst(&begun) == MORE);
    sp_event_set(&load_ends);
    for (int i = 0; i < MORE; i++)
        assert_int_equal(sp_result(more[i], NULL, SP_FOREVER), SP_OK);
    assert_true(begun_at[MORE - 1] - before >= 0.002 + 0.004 + 0.008 + 0.016 + 0.032);
    for (int i = 0; i < MORE + 1; i++)
        assert_int_equal(sp_result(requests[i], NULL, SP_FOREVER), SP_OK);
    sp_release_all(more, MORE);
    sp_release_all(requests, MORE + 1);
    sp_future_release(load);
    end_pool();
}

static sp_status begin_slowly(void *arg)
{
    sp_sleep(*(double *)arg);
    return SP_OK;
}

/* One gives its permit up for a worker that takes its time to begin: until that is here nobody else does. */
static void one_permit_is_enough_for_one_that_is_on_its_way(void **state)
{
    (void)state;
    enum { N = 3 };
    double seconds = 0.1; /* twenty times as long as after all would have given up theirs */
    sp_event_clear(&load_ends);
    pool = sp_thread_pool(.max_workers = 3, .max_compensation = 1, .initializer = begin_slowly,
                          .initializer_arg = &seconds);
    load = sp_submit(pool, load_slowly, SP_NONE);
    test_await(sp_future_running(load));
    for (int i = 0; i < N; i++)
        requests[i] = sp_submit(pool, wait_for_load, SP_FOREVER);
    test_await(seen_of_pool().kept == 2);
    sp_future *behind = sp_submit(pool, wait_for_load, SP_FOREVER);
    test_await(sp_future_running(behind));
    test_await(seen_of_pool().kept == 2);
    assert_int_equal(workers(), N + 2); /* one for each task */
    sp_event_set(&load_ends);
    for (int i = 0; i < N; i++)
        assert_int_equal(sp_result(requests[i], NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_result(behind, NULL, SP_FOREVER), SP_OK);
    sp_release_all(requests, N);
    sp_future_release(behind);
    sp_future_release(load);
    end_pool();
}

/* ---- what is queued is run for who waits for it, whatever the bound ---- */

static sp_status timed_depth(const int *in, int *out);
SP_TASK(timed_depth, int, int);
static sp_status timed_depth(const int *in, int *out)
{
    int below = 0;
    if (*in == 0)
        return SP_OK;
    sp_auto(sp_future) inner = sp_submit(pool, timed_depth, *in - 1);
    sp_status status = sp_result(inner, &below, 60.0);
    *out = below + 1;
    return status;
}

static void waits_for_what_is_queued_are_beyond_the_bound(void **state)
{
    (void)state;
    for (unsigned max_workers = 1; max_workers <= 3; max_workers++) {
        pool = sp_thread_pool(.max_workers = max_workers, .max_compensation = 1);
        sp_future *tops[3];
        for (int i = 0; i < 3; i++)
            tops[i] = sp_submit(pool, timed_depth, 100);
        for (int i = 0; i < 3; i++) {
            int value = 0;
            assert_int_equal(sp_result(tops[i], &value, SP_FOREVER), SP_OK);
            assert_int_equal(value, 100);
        }
        sp_release_all(tops, 3);
        end_pool();
    }
}

/* What runs begins to wait, for something that is queued, when all who wait for it keep their permits. */
static sp_event go_on;

static sp_status wait_later(const sp_none *in, int *out)
{
    (void)in;
    (void)sp_event_wait(&go_on, SP_FOREVER);
    sp_auto(sp_future) inner = sp_submit(pool, timed_depth, 3);
    return sp_result(inner, out, 60.0);
}
SP_TASK(wait_later, sp_none, int);

static void what_runs_may_begin_to_wait(void **state)
{
    (void)state;
    enum { N = 12 };
    for (unsigned max_workers = 2; max_workers <= 4; max_workers++) {
        sp_event_clear(&go_on);
        pool = sp_thread_pool(.max_workers = max_workers, .max_compensation = 1);
        load = sp_submit(pool, wait_later, SP_NONE);
        test_await(sp_future_running(load));
        for (int i = 0; i < N; i++)
            requests[i] = sp_submit(pool, wait_for_load, i % 2 ? 60.0 : SP_FOREVER);
        test_await(seen_of_pool().kept == max_workers - 1);
        sp_event_set(&go_on);
        for (int i = 0; i < N; i++) {
            int value = 0;
            assert_int_equal(sp_result(requests[i], &value, SP_FOREVER), SP_OK);
            assert_int_equal(value, 3);
        }
        sp_release_all(requests, N);
        sp_future_release(load);
        end_pool();
    }
}

/* ---- afterwards ---- */

/* Stand-ins that became idle while tasks still waited go as well, and only they. */
static void after_the_waits_there_are_as_many_workers_as_before(void **state)
{
    (void)state;
    sp_event_clear(&load_ends);
    pool = sp_thread_pool(.max_workers = 2);
    load = sp_submit(pool, load_slowly, SP_NONE);
    test_await(sp_future_running(load));
    for (int i = 0; i < 20; i++)
        requests[i] = sp_submit(pool, wait_for_load, SP_FOREVER);
    test_await(seen_of_pool().lent == 20 && workers() > 20);
    sp_event_set(&load_ends);
    for (int i = 0; i < 20; i++)
        assert_int_equal(sp_result(requests[i], NULL, SP_FOREVER), SP_OK);
    sp_release_all(requests, 20);
    sp_future_release(load);
    test_await(workers() == 2);
    sp_sleep(1.2);
    assert_int_equal(workers(), 2);
    end_pool();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_tasks_that_wait_for_one_need_few_workers),
        cmocka_unit_test(those_who_keep_their_permit_wait_no_longer_than_they_want),
        cmocka_unit_test(who_comes_back_takes_a_permit_that_is_kept),
        cmocka_unit_test(a_chain_of_waits_needs_few_workers),
        cmocka_unit_test(what_runs_may_need_what_is_behind_those_who_wait_for_it),
        cmocka_unit_test(no_permit_is_given_up_at_once),
        cmocka_unit_test(each_permit_is_given_up_later_than_the_one_before),
        cmocka_unit_test(one_permit_is_enough_for_one_that_is_on_its_way),
        cmocka_unit_test(waits_for_what_is_queued_are_beyond_the_bound),
        cmocka_unit_test(what_runs_may_begin_to_wait),
        cmocka_unit_test(after_the_waits_there_are_as_many_workers_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
