/* What lies in a queue and will not run any more: it keeps no place, no argument and no count.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>
#include <spool/time.h>

#include "base/atomic.h"
#include "executor/pool.h"

/* ---- a task that owns its argument, and counts ---- */

struct owned {
    int number;
};
static uint32_t dropped, ran; /* atomic */

static void drop_owned(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&dropped, 1);
}

static sp_status use(const struct owned *in, int *out)
{
    sp__add_seq_cst(&ran, 1);
    *out = in->number;
    return SP_OK;
}
SP_TASK_OWNING(use, struct owned, int, drop_owned, NULL);

static sp_executor *pool;
static sp_event goes_on; /* what hold() waits for */

static sp_status hold(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&goes_on, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold, sp_none, sp_none);

/* A pool of one worker that is busy until goes_on is set. */
static sp_future *begin_held(size_t max_pending)
{
    sp_event_clear(&goes_on);
    sp__store_seq_cst(&dropped, 0);
    sp__store_seq_cst(&ran, 0);
    pool = sp_thread_pool(.max_workers = 1, .max_pending = max_pending);
    sp_future *holder = sp_submit(pool, hold, SP_NONE);
    test_await(sp_future_running(holder));
    return holder;
}

static void end_held(sp_future *holder)
{
    sp_event_set(&goes_on);
    assert_int_equal(sp_result(holder, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    assert_int_equal(stats.submitted, stats.completed);
    assert_int_equal(stats.workers, 0);
    sp_future_release(holder);
    sp_executor_release(pool);
}

static void shuffle(sp_future **futures, size_t n, uint64_t *random)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = test_random(random) % i;
        sp_future *last = futures[i - 1];
        futures[i - 1] = futures[k];
        futures[k] = last;
    }
}

/* ---- run by who waits ---- */

enum order { FIRST_FIRST, LAST_FIRST, SHUFFLED, ORDERS };
struct join {
    int children, order;
    bool cancels; /* instead of joining */
};

static void put_in_order(sp_future **futures, int n, int order)
{
    static uint64_t random = 7;
    if (order == SHUFFLED)
        shuffle(futures, (size_t)n, &random);
    for (int i = 0; order == LAST_FIRST && i < n / 2; i++) {
        sp_future *other = futures[i];
        futures[i] = futures[n - 1 - i];
        futures[n - 1 - i] = other;
    }
}

/* Returns how many arguments were dropped too late. */
static sp_status join_children(const struct join *in, int *ret_late)
{
    enum { MOST = 1000 };
    sp_future *futures[MOST];
    uint32_t before = sp__load_seq_cst(&dropped);
    for (int i = 0; i < in->children; i++)
        futures[i] = sp_submit(pool, use, i);
    put_in_order(futures, in->children, in->order);
    for (int i = 0; i < in->children; i++) {
        sp_status status = in->cancels ? SP_OK : sp_result(futures[i], NULL, SP_FOREVER);
        if (status != SP_OK || (in->cancels && !sp_future_cancel(futures[i])))
            return sp_raise(SP_RUNTIME_ERROR, "child %d", i);
    }
    sp_release_all(futures, (size_t)in->children);
    *ret_late = in->children - (int)(sp__load_seq_cst(&dropped) - before);
    return SP_OK;
}
SP_TASK(join_children, struct join, int);

static void join_all_kinds(bool cancels)
{
    static const int children[] = { 1, 2, 3, 10, 255, 256, 257, 1000 };
    sp__store_seq_cst(&dropped, 0);
    pool = sp_thread_pool(.max_workers = 1);
    for (size_t i = 0; i < sizeof children / sizeof *children; i++)
        for (int order = 0; order < ORDERS; order++) {
            sp_auto(sp_future) parent = sp_submit(pool, join_children, children[i], order, cancels);
            int late = -1;
            assert_int_equal(sp_result(parent, &late, SP_FOREVER), SP_OK);
            if (late != 0)
                fail_msg("%d children, order %d: %d arguments are not dropped", children[i], order, late);
        }
    sp_executor_statistics stats;
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    sp_executor_stats(pool, &stats);
    assert_int_equal(stats.submitted, stats.completed);
    assert_int_equal(stats.submitted, ORDERS * (1 + 2 + 3 + 10 + 255 + 256 + 257 + 1000 + 8));
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static void what_its_waiter_ran_leaves_the_queue_whatever_the_order(void **state)
{
    (void)state;
    join_all_kinds(false);
}

static void what_a_task_cancels_of_its_own_leaves_the_queue_whatever_the_order(void **state)
{
    (void)state;
    join_all_kinds(true);
}

/* ---- cancelled from outside ---- */

static void what_is_cancelled_drops_its_argument_with_the_last_handle(void **state)
{
    (void)state;
    enum { N = 100 };
    for (int order = 0; order < ORDERS; order++) {
        sp_future *holder = begin_held(0), *futures[N];
        for (int i = 0; i < N; i++)
            futures[i] = sp_submit(pool, use, i);
        put_in_order(futures, N, order);
        for (uint32_t i = 0; i < N; i++) {
            assert_true(sp_future_cancel(futures[i]));
            assert_true(sp_future_cancel(futures[i]));
            assert_int_equal(sp_future_error(futures[i])->status, SP_CANCELLED);
            assert_int_equal(sp__load_seq_cst(&dropped), i);
            sp_future_release(futures[i]);
            assert_int_equal(sp__load_seq_cst(&dropped), i + 1);
        }
        end_held(holder);
        assert_int_equal(sp__load_seq_cst(&ran), 0);
    }
}

static void what_is_left_runs_in_its_order_when_others_are_cancelled(void **state)
{
    (void)state;
    enum { N = 60 };
    uint64_t random = test_seed();
    for (long round = test_count(50); round > 0; round--) {
        sp_future *holder = begin_held(0), *futures[N];
        uint32_t cancelled = 0;
        for (int i = 0; i < N; i++) {
            futures[i] = sp_submit(pool, use, i);
            size_t k = test_random(&random) % (unsigned)(i + 1);
            cancelled += !sp_future_cancelled(futures[k]) && sp_future_cancel(futures[k]);
        }
        sp_event_set(&goes_on);
        for (int i = 0; i < N; i++) {
            int value = -1;
            sp_status status = sp_result(futures[i], &value, SP_FOREVER);
            assert_true(status == SP_CANCELLED || (status == SP_OK && value == i));
        }
        assert_int_equal(sp__load_seq_cst(&ran), N - cancelled);
        sp_release_all(futures, N);
        end_held(holder);
        assert_int_equal(sp__load_seq_cst(&dropped), N);
    }
}

static uint32_t submitted; /* atomic */
static void *submit_one_more(void *arg)
{
    sp_future **ret_future = arg;
    *ret_future = sp_submit(pool, use, 3);
    sp__add_seq_cst(&submitted, 1);
    return NULL;
}

static void a_cancelled_future_makes_room_for_a_blocked_submitter(void **state)
{
    (void)state;
    sp_future *holder = begin_held(2), *third;
    sp__store_seq_cst(&submitted, 0);
    sp_auto(sp_future) first = sp_submit(pool, use, 1);
    sp_auto(sp_future) second = sp_submit(pool, use, 2);
    pthread_t submitter = test_thread(submit_one_more, &third);
    test_await(sp__load_seq_cst(&sp__pool_of(pool)->without_room) == 1);
    assert_int_equal(sp__load_seq_cst(&submitted), 0);
    assert_true(sp_future_cancel(first));
    test_join(submitter);
    assert_false(sp_future_done(second));
    sp_event_set(&goes_on);
    assert_int_equal(sp_result(third, NULL, SP_FOREVER), SP_OK);
    sp_future_release(third);
    end_held(holder);
}

/* More children than the deque holds: those in the inbox are taken out of it by who waits. */
static sp_status fill_and_join(const sp_none *in, int *ret_late)
{
    (void)in;
    sp_status status = join_children(&(struct join){ 500, FIRST_FIRST, false }, ret_late);
    sp_event_wait(&goes_on, SP_FOREVER);
    return status;
}
SP_TASK(fill_and_join, sp_none, int);

static void what_a_waiter_ran_takes_up_no_room(void **state)
{
    (void)state;
    sp_event_clear(&goes_on);
    sp__store_seq_cst(&dropped, 0);
    pool = sp_thread_pool(.max_workers = 1, .max_pending = 10);
    sp_auto(sp_future) parent = sp_submit(pool, fill_and_join, SP_NONE);
    test_await(sp__load_seq_cst(&dropped) == 500);
    sp_future *futures[10];
    for (int i = 0; i < 10; i++)
        futures[i] = sp_submit(pool, use, i); /* blocks for ever if they are still counted */
    sp_event_set(&goes_on);
    assert_int_equal(sp_wait(futures, 10, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    sp_release_all(futures, 10);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* ---- starvation ---- */

static uint32_t reports; /* atomic */
static void count_report(const char *report, void *context)
{
    (void)report, (void)context;
    sp__add_seq_cst(&reports, 1);
}

static sp_status leave_dead_and_sleep(const struct join *in, int *out)
{
    sp_status status = join_children(in, out);
    sp_event_wait(&goes_on, 1.3); /* a worker's sleep counts after a second */
    return status;
}
SP_TASK(leave_dead_and_sleep, struct join, int);

static void what_is_dead_does_not_starve(void **state)
{
    (void)state;
    sp_set_starvation_hook(count_report, NULL);
    sp_event_clear(&goes_on);
    pool = sp_thread_pool(.max_workers = 3);
    sp_auto(sp_future) joins = sp_submit(pool, leave_dead_and_sleep, 3, SHUFFLED, false);
    sp_auto(sp_future) cancels = sp_submit(pool, leave_dead_and_sleep, 3, SHUFFLED, true);
    sp_auto(sp_future) sleeps = sp_submit(pool, leave_dead_and_sleep, 0, 0, false);
    sp_auto(sp_future) queued = sp_submit(pool, use, 1);
    assert_true(sp_future_cancel(queued) || sp_future_wait(queued, SP_FOREVER));
    sp_future *all[] = { joins, cancels, sleeps };
    assert_int_equal(sp_wait(all, 3, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    assert_int_equal(sp__load_seq_cst(&reports), 0);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    sp_set_starvation_hook(NULL, NULL);
}

/* ---- everything at once ---- */

static sp_status fan_out(const struct join *in, sp_none *out)
{
    sp_future *futures[16];
    (void)out;
    for (int i = 0; i < in->children; i++)
        futures[i] = sp_submit(pool, use, i);
    put_in_order(futures, in->children, LAST_FIRST);
    for (int i = 0; i < in->children; i++) {
        if ((i + in->order) % 3 == 0)
            (void)sp_future_cancel(futures[i]);
        else if ((i + in->order) % 3 == 1)
            (void)sp_future_wait(futures[i], (i & 1) ? SP_FOREVER : 0.01);
    }
    sp_release_all(futures, (size_t)in->children);
    return SP_OK;
}
SP_TASK(fan_out, struct join, sp_none);

static void *submit_and_cancel(void *arg)
{
    enum { BATCH = 20 };
    uint64_t random = (uint64_t)(uintptr_t)arg;
    for (long round = test_count(300); round > 0; round--) {
        sp_future *futures[BATCH];
        for (int i = 0; i < BATCH; i++)
            futures[i] = i % 4 != 0 ? sp_submit(pool, use, i)
                                    : sp_submit(pool, fan_out, 1 + (int)(test_random(&random) % 16), i, false);
        shuffle(futures, BATCH, &random);
        for (int i = 0; i < BATCH / 2; i++)
            (void)sp_future_cancel(futures[i]);
        if (test_random(&random) % 2 && sp_wait(futures, BATCH, SP_ALL_COMPLETED, SP_FOREVER) != SP_OK)
            abort();
        sp_release_all(futures, BATCH);
    }
    return NULL;
}

static void cancels_waits_and_workers_agree_on_every_future(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    uint64_t seed = test_seed();
    for (unsigned workers = 1; workers <= 3; workers++) {
        pthread_t threads[THREADS];
        pool = sp_thread_pool(.max_workers = workers, .max_pending = workers == 2 ? 30 : 0);
        for (unsigned i = 0; i < THREADS; i++)
            threads[i] = test_thread(submit_and_cancel, (void *)(uintptr_t)(seed + i));
        for (unsigned i = 0; i < THREADS; i++)
            test_join(threads[i]);
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        sp_executor_statistics stats;
        sp_executor_stats(pool, &stats);
        assert_int_equal(stats.submitted, stats.completed);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
    }
}

/* The executor ends while its last futures are being cancelled. */
static void *cancel_it(void *arg)
{
    sp_future *future = arg;
    (void)sp_future_cancel(future);
    sp_future_release(future);
    return NULL;
}

static void a_pool_may_end_while_its_futures_are_cancelled(void **state)
{
    (void)state;
    for (long round = test_count(300); round > 0; round--) {
        pool = sp_thread_pool(.max_workers = 1);
        sp_future *future = sp_submit(pool, use, 1);
        pthread_t canceller = test_thread(cancel_it, future);
        sp_executor_release(pool);
        test_join(canceller);
    }
    assert_true(sp_join_all(SP_FOREVER));
}

/* ---- shutdown with .cancel_futures ---- */

static sp_event in_callback, callback_goes_on;
static sp_status shutdown_in_callback;
static bool idle_in_callback;

static void hold_callback(sp_future *future, void *context)
{
    (void)future, (void)context;
    shutdown_in_callback = sp_shutdown(pool);
    idle_in_callback = sp_executor_wait_idle(pool, SP_FOREVER);
    sp_event_set(&in_callback);
    sp_event_wait(&callback_goes_on, SP_FOREVER);
}

static void *shut_down_cancelling(void *arg)
{
    (void)arg;
    return sp_shutdown(pool, .cancel_futures = true) == SP_OK ? NULL : &pool;
}

static uint32_t second_is_done; /* atomic */
static void *shut_down_again(void *arg)
{
    sp_status status = sp_shutdown(pool);
    sp__store_seq_cst(&second_is_done, 1);
    return status == SP_OK ? NULL : arg;
}

static bool all_workers_are_gone(void)
{
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    return stats.workers == 0;
}

static void a_second_shutdown_waits_for_what_the_first_cancels(void **state)
{
    (void)state;
    sp_future *holder = begin_held(0);
    sp_auto(sp_future) first = sp_submit(pool, use, 1);
    sp_auto(sp_future) second = sp_submit(pool, use, 2);
    sp_future_add_done_callback(first, hold_callback, NULL);
    pthread_t canceller = test_thread(shut_down_cancelling, NULL);
    sp_event_wait(&in_callback, SP_FOREVER);
    assert_int_equal(shutdown_in_callback, SP_DEADLOCK);
    assert_false(idle_in_callback);
    sp_event_set(&goes_on);
    assert_int_equal(sp_result(holder, NULL, SP_FOREVER), SP_OK);
    pthread_t other = test_thread(shut_down_again, &pool);
    assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK); /* does not wait for it */
    test_await(all_workers_are_gone());
    for (int i = 0; i < 50; i++)
        sched_yield(); /* it would return here */
    assert_int_equal(sp__load_seq_cst(&second_is_done), 0);
    assert_false(sp_future_done(second));
    sp_event_set(&callback_goes_on);
    void *wrong = NULL;
    assert_int_equal(pthread_join(other, &wrong), 0);
    assert_null(wrong);
    assert_true(sp_future_cancelled(second));
    assert_int_equal(pthread_join(canceller, &wrong), 0);
    assert_null(wrong);
    end_held(holder);
}

/* ---- the inline pool ---- */

static void an_inline_pools_counters_agree_after_every_cancel(void **state)
{
    (void)state;
    enum { N = 50 };
    sp__store_seq_cst(&dropped, 0);
    sp_auto(sp_executor) inline_pool = sp_inline_pool(.seed = 5);
    sp_future *futures[N];
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(inline_pool, use, i);
    for (int i = 0; i < N / 2; i++) {
        assert_true(sp_future_cancel(futures[2 * i]));
        sp_future_release(futures[2 * i]);
        assert_int_equal(sp__load_seq_cst(&dropped), i + 1);
    }
    int value = 0;
    assert_int_equal(sp_result(futures[1], &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 1);
    assert_int_equal(sp_shutdown(inline_pool, .cancel_futures = true), SP_OK);
    sp_auto(sp_future) late = sp_submit(inline_pool, use, 1);
    assert_int_equal(sp_result(late, NULL, SP_FOREVER), SP_SHUT_DOWN);
    sp_executor_statistics stats;
    sp_executor_stats(inline_pool, &stats);
    assert_int_equal(stats.submitted, N);
    assert_int_equal(stats.completed, N);
    for (int i = 0; i < N / 2; i++)
        sp_future_release(futures[2 * i + 1]);
    assert_int_equal(sp__load_seq_cst(&dropped), N);
}

static void end_pool(sp_future *future, void *holder)
{
    (void)future;
    end_held(holder);
}

static void a_callback_of_a_cancel_may_end_the_pool(void **state)
{
    (void)state;
    sp_future *holder = begin_held(0);
    sp_auto(sp_future) queued = sp_submit(pool, use, 1);
    sp_future_add_done_callback(queued, end_pool, holder);
    assert_true(sp_future_cancel(queued));
}

/* ---- met by one while another takes it out ---- */

static struct sp__pool bare; /* nothing lies in its inbox */
static struct sp__deque empty_deque;
static uint32_t is_over; /* atomic */

/* Lie in the deque, as its worker says, and then no more, as who meets it there says: again and again. */
static void *be_met(void *arg)
{
    sp_future *future = arg;
    while (!sp__load_relaxed(&is_over)) {                                          /* relaxed: nothing comes with it */
        sp__store_relaxed(&future->place, (uintptr_t)&empty_deque | SP__IN_DEQUE); /* relaxed: as in sp__put_own */
        sp__store_relaxed(&future->place, 0);                                      /* relaxed: as in count_met */
    }
    return NULL;
}

static void a_future_may_be_met_while_who_has_claimed_it_takes_it_out(void **state)
{
    (void)state;
    sp_auto(sp_future) future = sp_future_new(&use_sp_task, &(struct owned){ 1 });
    sp__store_seq_cst(&is_over, 0);
    pthread_t other = test_thread(be_met, future);
    for (long i = test_count(3000000); i > 0; i--)
        assert_false(sp__take_out(&bare, future));
    sp__store_seq_cst(&is_over, 1);
    test_join(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_its_waiter_ran_leaves_the_queue_whatever_the_order),
        cmocka_unit_test(what_a_task_cancels_of_its_own_leaves_the_queue_whatever_the_order),
        cmocka_unit_test(what_is_cancelled_drops_its_argument_with_the_last_handle),
        cmocka_unit_test(what_is_left_runs_in_its_order_when_others_are_cancelled),
        cmocka_unit_test(a_cancelled_future_makes_room_for_a_blocked_submitter),
        cmocka_unit_test(what_a_waiter_ran_takes_up_no_room),
        cmocka_unit_test(what_is_dead_does_not_starve),
        cmocka_unit_test(cancels_waits_and_workers_agree_on_every_future),
        cmocka_unit_test(a_pool_may_end_while_its_futures_are_cancelled),
        cmocka_unit_test(a_second_shutdown_waits_for_what_the_first_cancels),
        cmocka_unit_test(an_inline_pools_counters_agree_after_every_cancel),
        cmocka_unit_test(a_callback_of_a_cancel_may_end_the_pool),
        cmocka_unit_test(a_future_may_be_met_while_who_has_claimed_it_takes_it_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
