/* Every argument that a pool is given is dropped exactly once, and all memory comes back, however its task ends: run, failed,
   cancelled, refused, in a pool that breaks, in the middle of a map.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

/* ---- values that count how often each is dropped ---- */

enum { VALUES = 64, LARGE = 4096 };

struct value {
    int number;
    bool fails;
};

struct large {
    struct value value;
    unsigned char bytes[LARGE - sizeof(struct value)];
};
typedef struct large large;

static uint32_t dropped[VALUES], dropped_results, ran; /* atomic */
static sp_executor *pool;
static sp_event goes_on;

static void drop_value(void *arg)
{
    const struct value *value = arg;
    sp__add_seq_cst(&dropped[value->number], 1);
}

static void drop_large(void *arg)
{
    const struct large *whole = arg;
    assert_int_equal(whole->bytes[sizeof whole->bytes - 1], whole->value.number);
    drop_value(arg);
}

static void drop_result(void *result)
{
    (void)result;
    sp__add_seq_cst(&dropped_results, 1);
}

static sp_status use(const struct value *in, int *out)
{
    sp__add_seq_cst(&ran, 1);
    *out = in->number;
    return in->fails ? sp_raise(SP_RUNTIME_ERROR, "%d fails", in->number) : SP_OK;
}
SP_TASK_OWNING(use, struct value, int, drop_value, drop_result);

static sp_status use_large(const large *in, int *out)
{
    return use(&in->value, out);
}
SP_TASK_OWNING(use_large, large, int, drop_large, drop_result);

static void forget_drops(void)
{
    memset(dropped, 0, sizeof dropped);
    sp__store_seq_cst(&dropped_results, 0);
    sp__store_seq_cst(&ran, 0);
}

/* The first n were dropped once, and no other. */
static void each_was_dropped_once(int n)
{
    for (int i = 0; i < VALUES; i++)
        if (sp__load_seq_cst(&dropped[i]) != (i < n ? 1u : 0u))
            fail_msg("value %d was dropped %u times", i, sp__load_seq_cst(&dropped[i]));
}

static void say_nothing(const sp_error *error, void *context)
{
    (void)error, (void)context;
}

/* Run it some times.  After the first all memory that is kept for the next time is there: the others leave nothing. */
static void leaves_nothing(void (*scene)(void))
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 4; i++) {
        forget_drops();
        scene();
        if (i > 0)
            test_await(sp__fault_blocks() <= least); /* a thread of the library's may be about to free something */
        least = sp__fault_blocks();
    }
}

/* ---- a pool that breaks ---- */

enum { BREAKERS = 2, QUEUED = 40 };
static sp_barrier meeting = SP_BARRIER(BREAKERS);
static sp_semaphore begun;
static uint32_t met, initialized; /* atomic */
static sp_future *futures[QUEUED];

static sp_status fail_together(void *context)
{
    (void)context;
    if (sp_barrier_wait(&meeting, NULL, SP_FOREVER) == SP_OK)
        sp__add_seq_cst(&met, 1);
    return sp_raise(SP_VALUE_ERROR, "a message, of which each worker has its own");
}

static void break_by_two(void)
{
    sp__store_seq_cst(&met, 0);
    pool = sp_thread_pool(.max_workers = BREAKERS, .initializer = fail_together);
    for (int i = 0; i < QUEUED; i++)
        futures[i] = sp_submit(pool, use, .number = i);
    for (int i = 0; i < QUEUED; i++)
        assert_int_equal(sp_result(futures[i], NULL, SP_FOREVER), SP_BROKEN_POOL);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(sp__load_seq_cst(&met), BREAKERS); /* both were about to fail */
    sp_release_all(futures, QUEUED);
    sp_executor_release(pool);
    each_was_dropped_once(QUEUED);
    assert_int_equal(sp__load_seq_cst(&ran), 0);
}

static void two_initializers_that_fail_at_once_leave_nothing(void **state)
{
    (void)state;
    leaves_nothing(break_by_two);
}

static sp_status fail_when_told(void *context)
{
    (void)context;
    assert_int_equal(sp_semaphore_release(&begun, 1), SP_OK);
    sp_event_wait(&goes_on, SP_FOREVER);
    return SP_VALUE_ERROR;
}

/* Every third is cancelled before it breaks; of the others every second is posted, and nobody looks. */
static void break_among_cancelled(void)
{
    sp_event_clear(&goes_on);
    pool = sp_thread_pool(.max_workers = 1, .initializer = fail_when_told);
    for (int i = 0; i < QUEUED; i++)
        futures[i] = sp_submit(pool, use, .number = i);
    sp_semaphore_acquire(&begun);
    for (int i = 0; i < QUEUED; i += 3)
        assert_true(sp_future_cancel(futures[i]));
    sp_event_set(&goes_on);
    for (int i = 0; i < QUEUED; i++) {
        assert_int_equal(sp_result(futures[i], NULL, SP_FOREVER), i % 3 == 0 ? SP_CANCELLED : SP_BROKEN_POOL);
        assert_int_equal(sp__load_seq_cst(&dropped[i]), 0); /* the handle keeps it */
        sp_future_release(futures[i]);
    }
    assert_int_equal(sp_post(pool, use, .number = QUEUED), SP_BROKEN_POOL);
    sp_executor_release(pool);
    assert_true(sp_join_all(SP_FOREVER));
    each_was_dropped_once(QUEUED + 1);
    assert_int_equal(sp__load_seq_cst(&ran), 0);
}

/* The same with nobody to hold a handle, and cancels in the middle of the break. */
static void *cancel_all(void *arg)
{
    for (int i = 0; i < QUEUED; i++)
        (void)sp_future_cancel(futures[i]);
    return arg;
}

static void break_while_cancelled(void)
{
    sp_event_clear(&goes_on);
    pool = sp_thread_pool(.max_workers = 1, .initializer = fail_when_told);
    for (int i = 0; i < QUEUED; i++)
        futures[i] = sp_submit(pool, use, .number = i);
    sp_semaphore_acquire(&begun);
    pthread_t canceller = test_thread(cancel_all, NULL);
    sp_event_set(&goes_on);
    test_join(canceller);
    for (int i = 0; i < QUEUED; i++) {
        sp_status status = sp_result(futures[i], NULL, SP_FOREVER);
        assert_true(status == SP_CANCELLED || status == SP_BROKEN_POOL);
    }
    sp_release_all(futures, QUEUED);
    sp_executor_release(pool);
    assert_true(sp_join_all(SP_FOREVER));
    each_was_dropped_once(QUEUED);
}

static void what_is_cancelled_in_a_pool_that_breaks_is_dropped_once(void **state)
{
    (void)state;
    leaves_nothing(break_among_cancelled);
    for (long i = test_count(20); i > 0; i--)
        leaves_nothing(break_while_cancelled);
}

/* The first worker works, the second breaks the pool. */
static sp_status fail_as_second(void *context)
{
    (void)context;
    return sp__add_seq_cst(&initialized, 1) == 0 ? SP_OK : fail_when_told(context);
}

/* What it has put into its own queue breaks with the pool, or is cancelled by the task itself, before and after. */
static sp_status queue_and_break(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    for (int i = 0; i < QUEUED; i++)
        futures[i] = sp_submit(pool, use, .number = i);
    sp_semaphore_acquire(&begun); /* the second worker is there */
    for (int i = 0; i < QUEUED; i += 4)
        if (!sp_future_cancel(futures[i]))
            return sp_raise(SP_RUNTIME_ERROR, "%d was not to be cancelled", i);
    sp_event_set(&goes_on);
    for (int i = 1; i < QUEUED; i += 4)
        test_await(sp_future_done(futures[i])); /* a wait might run it here */
    for (int i = 1; i < QUEUED; i += 4)
        if (sp_result(futures[i], NULL, SP_FOREVER) != SP_BROKEN_POOL)
            return sp_raise(SP_RUNTIME_ERROR, "%d is not broken", i);
    for (int i = 2; i < QUEUED; i += 4)
        if (sp_future_cancel(futures[i]))
            return sp_raise(SP_RUNTIME_ERROR, "%d could be cancelled", i);
    sp_release_all(futures, QUEUED);
    return sp_post(pool, use, .number = QUEUED) == SP_BROKEN_POOL ? SP_OK : SP_VALUE_ERROR;
}
SP_TASK(queue_and_break, sp_none, sp_none);

static void break_around_a_worker(void)
{
    sp_event_clear(&goes_on);
    sp__store_seq_cst(&initialized, 0);
    pool = sp_thread_pool(.max_workers = 2, .initializer = fail_as_second);
    sp_auto(sp_future) works = sp_submit(pool, queue_and_break);
    assert_int_equal(sp_result(works, NULL, SP_FOREVER), SP_OK);
    sp_executor_release(pool);
    assert_true(sp_join_all(SP_FOREVER));
    each_was_dropped_once(QUEUED + 1);
    assert_int_equal(sp__load_seq_cst(&ran), 0);
}

static void what_a_worker_has_queued_when_another_breaks_the_pool_is_dropped_once(void **state)
{
    (void)state;
    leaves_nothing(break_around_a_worker);
}

/* ---- refused, cancelled, shut down ---- */

static sp_status hold(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    assert_int_equal(sp_semaphore_release(&begun, 1), SP_OK);
    sp_event_wait(&goes_on, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold, sp_none, sp_none);

/* One worker, which is busy until goes_on is set. */
static void begin_held(void)
{
    sp_event_clear(&goes_on);
    pool = sp_thread_pool(.max_workers = 1);
    assert_int_equal(sp_post(pool, hold), SP_OK);
    sp_semaphore_acquire(&begun);
}

static void submit_large(int i)
{
    large value = { .value = { .number = i } };
    value.bytes[sizeof value.bytes - 1] = (unsigned char)i;
    futures[i] = sp_submit_from(pool, use_large, &value);
}

/* Half are cancelled one by one, the rest by the shutdown; then the pool is closed. */
static void cancel_and_refuse(void)
{
    begin_held();
    for (int i = 0; i < QUEUED - 2; i++)
        submit_large(i);
    for (int i = 0; i < QUEUED - 2; i += 2)
        assert_true(sp_future_cancel(futures[i]));
    assert_int_equal(sp_shutdown(pool, .cancel_futures = true, .no_wait = true), SP_OK);
    submit_large(QUEUED - 2); /* refused */
    sp__fault_arm(1, true);
    submit_large(QUEUED - 1); /* there is no memory, neither for the future nor to drop the argument: that is said */
    sp__fault_disarm();
    for (int i = 0; i < QUEUED; i++)
        assert_int_equal(sp_result(futures[i], NULL, SP_NOWAIT), i < QUEUED - 2   ? SP_CANCELLED
                                                                 : i < QUEUED - 1 ? SP_SHUT_DOWN
                                                                                  : SP_MEMORY_ERROR);
    sp_release_all(futures, QUEUED);
    sp_event_set(&goes_on);
    sp_executor_release(pool);
    assert_true(sp_join_all(SP_FOREVER));
    each_was_dropped_once(QUEUED - 1);
    assert_int_equal(sp__load_seq_cst(&ran), 0);
    assert_int_equal(sp__load_seq_cst(&dropped_results), QUEUED - 1);
}

static void large_arguments_are_dropped_once_whatever_is_refused(void **state)
{
    (void)state;
    leaves_nothing(cancel_and_refuse);
}

/* ---- maps of large arguments ---- */

static large inputs[QUEUED];
static int fails_at; /* no input, if it is beyond them */

static void make_inputs(void)
{
    memset(inputs, 0, sizeof inputs);
    for (int i = 0; i < QUEUED; i++) {
        inputs[i].value = (struct value){ i, i == fails_at };
        inputs[i].bytes[sizeof inputs[i].bytes - 1] = (unsigned char)i;
    }
}

static sp_status map_inputs(size_t chunksize, int *outputs)
{
    sp_future *failed = NULL;
    sp_status status = sp_map(pool, use_large, inputs, outputs, QUEUED, .chunksize = chunksize, .ret_failed = &failed);
    assert_true((failed != NULL) == (status != SP_OK));
    if (failed != NULL) {
        const large *arg = sp_future_arg(failed);
        assert_int_equal(arg->value.number, fails_at < QUEUED ? fails_at : 0);
        assert_int_equal(sp__load_seq_cst(&dropped[arg->value.number]), 0); /* it is the future's */
    }
    sp_future_release(failed);
    return status;
}

/* With results and without, in chunks of each size, all well or one that fails. */
static void map_in_chunks(void)
{
    static const size_t chunksizes[] = { 1, 3, 7, QUEUED };
    static const int failing[] = { QUEUED, 0, QUEUED / 2, QUEUED - 1 };
    int outputs[QUEUED];
    pool = sp_thread_pool(.max_workers = 2);
    for (int way = 0; way < 4 * 4 * 2; way++) {
        fails_at = failing[way / 2 % 4];
        make_inputs();
        forget_drops();
        sp_status status = map_inputs(chunksizes[way / 8], way % 2 == 0 ? outputs : NULL);
        assert_int_equal(status, fails_at < QUEUED ? SP_RUNTIME_ERROR : SP_OK);
        each_was_dropped_once(QUEUED);
        if (status == SP_OK)
            assert_int_equal(sp__load_seq_cst(&dropped_results), way % 2 == 0 ? 0 : QUEUED);
    }
    assert_int_equal(sp_shutdown(pool), SP_OK);
    forget_drops();
    make_inputs();
    fails_at = QUEUED;
    assert_int_equal(map_inputs(3, outputs), SP_SHUT_DOWN);
    each_was_dropped_once(QUEUED);
    sp_executor_release(pool);
}

/* The inputs are copied in a task. */
static sp_status map_in_task(const sp_none *in, sp_none *out)
{
    int outputs[QUEUED];
    (void)in, (void)out;
    return map_inputs(7, outputs);
}
SP_TASK(map_in_task, sp_none, sp_none);

static void map_inside(void)
{
    pool = sp_thread_pool(.max_workers = 2);
    for (fails_at = QUEUED / 2; fails_at <= QUEUED; fails_at += QUEUED / 2) {
        make_inputs();
        forget_drops();
        sp_auto(sp_future) inside = sp_submit(pool, map_in_task);
        assert_int_equal(sp_result(inside, NULL, SP_FOREVER), fails_at < QUEUED ? SP_RUNTIME_ERROR : SP_OK);
        assert_int_equal(sp_shutdown(pool), SP_OK); /* also the chunks' own references are gone */
        each_was_dropped_once(QUEUED);
        sp_executor_release(pool);
        pool = sp_thread_pool(.max_workers = 2);
    }
    sp_executor_release(pool);
}

static void large_arguments_of_a_map_are_dropped_once_wherever_it_fails(void **state)
{
    (void)state;
    leaves_nothing(map_in_chunks);
    leaves_nothing(map_inside);
}

int main(int argc, char **argv)
{
    if (argc > 0 &&
        getenv("SPOOL_TEST_PLAIN_MEMORY") == NULL) { /* it is read before main; blocks can be counted then */
        setenv("SPOOL_TEST_PLAIN_MEMORY", "1", 1);
        test_execute(argv);
        return 99;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_initializers_that_fail_at_once_leave_nothing),
        cmocka_unit_test(what_is_cancelled_in_a_pool_that_breaks_is_dropped_once),
        cmocka_unit_test(what_a_worker_has_queued_when_another_breaks_the_pool_is_dropped_once),
        cmocka_unit_test(large_arguments_are_dropped_once_whatever_is_refused),
        cmocka_unit_test(large_arguments_of_a_map_are_dropped_once_wherever_it_fails),
    };
    sp_set_unseen_error_hook(say_nothing, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
