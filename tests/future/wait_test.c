/* Waiting for sets of futures.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"
#include "park/runner.h"

static int square(int x)
{
    return x * x;
}
SP_FUNCTION(square, int, int);

static sp_future *fresh(int arg)
{
    return sp_future_new(&square_sp_task, &arg);
}

static void finish(sp_future *future)
{
    assert_int_equal(sp_future_set_result(future, &(int){ 1 }, sizeof(int)), SP_OK);
}

static void break_off(sp_future *future)
{
    assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_OS_ERROR, .message = "no" }), SP_OK);
}

static void wait_returns_ok_when_its_condition_is_reached(void **state)
{
    (void)state;
    sp_future *f[3] = { fresh(0), fresh(1), fresh(2) };
    assert_int_equal(sp_wait(f, 0, SP_ALL_COMPLETED, SP_NOWAIT), SP_OK);
    assert_int_equal(sp_wait(f, 0, SP_FIRST_COMPLETED, SP_FOREVER), SP_OK);
    assert_true(sp_future_cancel(f[0]));
    assert_int_equal(sp_wait(f, 3, SP_FIRST_COMPLETED, SP_NOWAIT), SP_OK);
    assert_int_equal(sp_wait(f, 3, SP_FIRST_ERROR, SP_NOWAIT), SP_TIMEOUT); /* cancelled is no error */
    assert_int_equal(sp_wait(f, 3, SP_FIRST_ERROR, 0.005), SP_TIMEOUT);
    break_off(f[1]);
    assert_int_equal(sp_wait(f, 3, SP_FIRST_ERROR, SP_FOREVER), SP_OK);
    assert_int_equal(sp_wait(f, 3, SP_ALL_COMPLETED, SP_NOWAIT), SP_TIMEOUT);
    assert_int_equal(sp_wait(f, 3, SP_ALL_COMPLETED, 0.005), SP_TIMEOUT);
    finish(f[2]);
    assert_int_equal(sp_wait(f, 3, SP_ALL_COMPLETED, SP_NOWAIT), SP_OK);
    assert_non_null(sp_future_error(f[1]));
    sp_release_all(f, 3);
}

static void wait_value_error(void **state)
{
    (void)state;
    sp_future *f[1] = { fresh(0) };
    assert_int_equal(sp_wait(f, 1, SP_ALL_COMPLETED, strtod("nan", NULL)), SP_VALUE_ERROR);
    assert_int_equal(sp_wait(f, 1, (sp_wait_until)7, SP_NOWAIT), SP_VALUE_ERROR);
    sp_release_all(f, 1);
}

static void wait_memory_error(void **state)
{
    (void)state;
    sp_future *f[1] = { fresh(0) };
    sp__fault_arm(1, true);
    assert_int_equal(sp_wait(f, 1, SP_FIRST_COMPLETED, SP_FOREVER), SP_MEMORY_ERROR);
    assert_null(sp_as_completed(f, 1, SP_FOREVER));
    sp__fault_disarm();
    sp_release_all(f, 1);
}

static void a_wait_that_only_asks_takes_no_memory(void **state)
{
    (void)state;
    sp_future *f[6];
    for (int i = 0; i < 6; i++)
        f[i] = fresh(i);
    sp__fault_arm(1, true);
    assert_int_equal(sp_wait(f, 6, SP_ALL_COMPLETED, SP_NOWAIT), SP_TIMEOUT);
    assert_int_equal(sp_wait(f, 6, SP_FIRST_COMPLETED, SP_NOWAIT), SP_TIMEOUT);
    assert_int_equal(sp__fault_disarm(), 0);
    sp_release_all(f, 6);
}

static void as_completed_gives_each_once_in_the_order_of_their_ends(void **state)
{
    (void)state;
    sp_future *f[4] = { fresh(0), fresh(1), fresh(2), fresh(3) };
    sp_future *twice[6] = { f[0], f[1], f[1], f[2], f[3], f[0] };
    finish(f[3]);
    sp_completion *set = sp_as_completed(twice, 6, 60.0);
    finish(f[1]);
    break_off(f[0]);
    assert_ptr_equal(sp_next(set), f[3]);
    assert_ptr_equal(sp_next(set), f[1]);
    assert_true(sp_future_cancel(f[2]));
    assert_ptr_equal(sp_next(set), f[0]);
    assert_ptr_equal(sp_next(set), f[2]);
    assert_null(sp_next(set));
    assert_null(sp_next(set));
    assert_int_equal(sp_completion_status(set), SP_OK);
    sp_completion_release(set);
    assert_non_null(sp_future_error(f[0]));
    sp_release_all(f, 4);
}

static void count_sleep(void *context)
{
    ++*(unsigned *)context;
}

static void ignore_sleep(void *context)
{
    (void)context;
}

static void as_completed_timeout_counts_from_the_call(void **state)
{
    (void)state;
    sp_future *f[2] = { fresh(0), fresh(1) };
    double begin = sp_monotonic();
    sp_completion *set = sp_as_completed(f, 2, 0.02);
    finish(f[0]);
    assert_ptr_equal(sp_next(set), f[0]);
    sp_event never = { 0 };
    assert_false(sp_event_wait(&never, 0.02)); /* the time is up before the next call */
    unsigned sleeps = 0;
    struct sp__block_hooks hooks = { .before = count_sleep, .after = ignore_sleep, .context = &sleeps };
    sp__self()->hooks = &hooks;
    assert_null(sp_next(set));
    sp__self()->hooks = NULL;
    assert_int_equal(sleeps, 0);
    assert_true(sp_monotonic() - begin >= 0.02);
    assert_int_equal(sp_completion_status(set), SP_TIMEOUT);
    finish(f[1]);
    assert_null(sp_next(set));
    sp_completion_release(set);
    sp_release_all(f, 2);
}

static void completion_of_null_and_nan(void **state)
{
    (void)state;
    assert_null(sp_next(NULL));
    assert_int_equal(sp_completion_status(NULL), SP_MEMORY_ERROR);
    sp_completion_release(NULL);
    sp_future *f[1] = { fresh(0) };
    sp_completion *set = sp_as_completed(f, 1, strtod("nan", NULL));
    assert_null(sp_next(set));
    assert_int_equal(sp_completion_status(set), SP_VALUE_ERROR);
    sp_completion_release(set);
    sp_release_all(f, 1);
    set = sp_as_completed(NULL, 0, SP_FOREVER);
    assert_null(sp_next(set));
    assert_int_equal(sp_completion_status(set), SP_OK);
    sp_completion_release(set);
}

/* ---- many sets over the same futures, while they end ---- */

enum { FUTURES = 40, READERS = 3 };

struct shared {
    sp_future *futures[FUTURES];
    uint64_t seed;
    uint32_t next; /* atomic */
};

static void *read_sets(void *arg)
{
    struct shared *shared = arg;
    uint64_t random = shared->seed + sp__add_relaxed(&shared->next, 1);
    for (bool all = false; !all;) {
        sp_completion *set = sp_as_completed(shared->futures, FUTURES, SP_FOREVER);
        uint64_t wanted = test_random(&random) % (FUTURES + 1), got = 0;
        while (got < wanted && sp_next(set) != NULL)
            got++;
        assert_int_equal(got, wanted);
        all = got == FUTURES && sp_next(set) == NULL;
        sp_completion_release(set); /* often while others still run */
    }
    return NULL;
}

static void sets_come_and_go_while_futures_end(void **state)
{
    (void)state;
    struct shared shared = { .seed = test_seed() };
    sp__fault_spurious(shared.seed, 100);
    for (long i = test_count(40); i > 0; i--) {
        sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2);
        for (int k = 0; k < FUTURES; k++)
            shared.futures[k] = sp_submit(pool, square, k);
        pthread_t threads[READERS];
        for (int k = 0; k < READERS; k++)
            threads[k] = test_thread(read_sets, &shared);
        for (int k = 0; k < READERS; k++)
            test_join(threads[k]);
        assert_int_equal(sp_wait(shared.futures, FUTURES, SP_ALL_COMPLETED, SP_NOWAIT), SP_OK);
        sp_release_all(shared.futures, FUTURES);
    }
    sp__fault_spurious(0, 0);
}

/* ---- large sets ---- */

enum { LARGE = 1000 };
static struct {
    sp_future *futures[LARGE];
    uint32_t asleep; /* atomic: who waits for them */
    unsigned sleeps; /* its own */
} large;

static void falls_asleep(void *context)
{
    (void)context;
    large.sleeps++;
    sp__store_release(&large.asleep, 1);
}

static void wakes_up(void *context)
{
    (void)context;
    sp__store_release(&large.asleep, 0);
}

/* Ends one after the other, each when the one who waits sleeps. */
static void *finish_one_by_one(void *unused)
{
    (void)unused;
    for (int i = 0; i < LARGE; i++) {
        test_await(sp__load_acquire(&large.asleep));
        finish(large.futures[i]);
    }
    return NULL;
}

/* Who waits for all sleeps once for all, not once for each. */
static void waiting_for_all_takes_one_sleep(void **state)
{
    (void)state;
    struct sp__block_hooks hooks = { .before = falls_asleep, .after = wakes_up };
    large.sleeps = 0;
    for (int i = 0; i < LARGE; i++)
        large.futures[i] = fresh(i);
    pthread_t thread = test_thread(finish_one_by_one, NULL);
    sp__self()->hooks = &hooks;
    sp_status status = sp_wait(large.futures, LARGE, SP_ALL_COMPLETED, SP_FOREVER);
    sp__self()->hooks = NULL;
    test_join(thread);
    assert_int_equal(status, SP_OK);
    assert_int_equal(large.sleeps, 1);
    assert_int_equal(sp_wait(large.futures, LARGE, SP_ALL_COMPLETED, SP_NOWAIT), SP_OK);
    sp_release_all(large.futures, LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_returns_ok_when_its_condition_is_reached),
        cmocka_unit_test(wait_value_error),
        cmocka_unit_test(wait_memory_error),
        cmocka_unit_test(a_wait_that_only_asks_takes_no_memory),
        cmocka_unit_test(as_completed_gives_each_once_in_the_order_of_their_ends),
        cmocka_unit_test(as_completed_timeout_counts_from_the_call),
        cmocka_unit_test(completion_of_null_and_nan),
        cmocka_unit_test(sets_come_and_go_while_futures_end),
        cmocka_unit_test(waiting_for_all_takes_one_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
