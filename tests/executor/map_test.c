/* Ordered map.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"

static sp_status halve(const int *in, int *out)
{
    if (*in % 2 != 0)
        return sp_raise(SP_VALUE_ERROR, "%d is odd", *in);
    *out = *in / 2;
    return SP_OK;
}
SP_TASK(halve, int, int);

static void results_are_in_input_order_for_every_chunksize(void **state)
{
    (void)state;
    enum { N = 100 };
    int inputs[N], outputs[N];
    for (unsigned workers = 1; workers <= 3; workers++) {
        sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = workers);
        for (size_t chunksize = 0; chunksize <= N + 1; chunksize += 7) {
            for (int i = 0; i < N; i++) {
                inputs[i] = 2 * i;
                outputs[i] = -1;
            }
            assert_int_equal(sp_map(pool, halve, inputs, outputs, N, .chunksize = chunksize), SP_OK);
            for (int i = 0; i < N; i++)
                assert_int_equal(outputs[i], i);
        }
        assert_int_equal(sp_map(pool, halve, inputs, outputs, 0), SP_OK);
    }
}

static void as_many_inputs_go_to_a_worker_as_the_chunksize_says(void **state)
{
    (void)state;
    static const struct {
        size_t chunksize, chunks;
    } cases[] = { { 0, 10 }, { 1, 10 }, { 3, 4 }, { 5, 2 }, { 10, 1 }, { 11, 1 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int inputs[10] = { 0 }, outputs[10];
        sp_executor_statistics stats;
        sp_executor *pool = sp_inline_pool();
        assert_int_equal(sp_map(pool, halve, inputs, outputs, 10, .chunksize = cases[i].chunksize), SP_OK);
        sp_executor_stats(pool, &stats);
        assert_int_equal(stats.submitted, cases[i].chunks);
        sp_executor_release(pool);
    }
}

static void the_first_error_in_input_order_is_returned_and_outputs_are_untouched(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 3);
    for (size_t chunksize = 1; chunksize <= 4; chunksize++) {
        int inputs[] = { 0, 2, 4, 5, 6, 7, 9 }, outputs[7] = { -1, -1, -1, -1, -1, -1, -1 };
        sp_future *failed = NULL;
        assert_int_equal(sp_map(pool, halve, inputs, outputs, 7, .chunksize = chunksize, .ret_failed = &failed),
                         SP_VALUE_ERROR);
        for (int i = 0; i < 7; i++)
            assert_int_equal(outputs[i], -1);
        assert_non_null(failed);
        assert_int_equal(*(const int *)sp_future_arg(failed), 5);
        assert_string_equal(sp_future_error(failed)->message, "5 is odd");
        assert_string_equal(sp_future_error(failed)->task, "halve");
        assert_string_equal(sp_future_task_name(failed), "halve");
        assert_int_equal(sp_result(failed, &outputs[0], SP_NOWAIT), SP_VALUE_ERROR);
        sp_future_release(failed);
    }
}

static void map_on_a_closed_pool_is_shut_down(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    int inputs[2] = { 2, 4 }, outputs[2];
    sp_future *failed = NULL;
    assert_int_equal(sp_map(pool, halve, inputs, outputs, 2, .ret_failed = &failed), SP_SHUT_DOWN);
    assert_int_equal(*(const int *)sp_future_arg(failed), 2);
    assert_string_equal(sp_future_error(failed)->task, "halve");
    sp_future_release(failed);
}

/* ---- ownership ---- */

struct owned {
    int *counted; /* how often it was dropped */
    bool fails;
};
static int dropped_results;

static void drop_owned(void *arg)
{
    ++*((struct owned *)arg)->counted;
}

static void drop_memory(void *result)
{
    void *memory;
    memcpy(&memory, result, sizeof memory);
    if (memory != NULL)
        dropped_results++;
    free(memory);
}

typedef char *text;
static sp_status make(const struct owned *in, text *out)
{
    *out = strdup("made"); /* also when it fails: what was begun is dropped */
    return in->fails ? sp_raise(SP_RUNTIME_ERROR, "no") : SP_OK;
}
SP_TASK_OWNING(make, struct owned, text, drop_owned, drop_memory);

static void arguments_and_results_are_dropped_exactly_once(void **state)
{
    (void)state;
    for (int failing = -1; failing < 5; failing++) {
        for (size_t chunksize = 1; chunksize <= 3; chunksize++) {
            int counts[5] = { 0 };
            struct owned inputs[5];
            text outputs[5] = { NULL };
            dropped_results = 0;
            for (int i = 0; i < 5; i++)
                inputs[i] = (struct owned){ &counts[i], i == failing };
            sp_executor *pool = sp_thread_pool(.max_workers = 1);
            sp_future *failed = NULL;
            sp_status status = sp_map(pool, make, inputs, outputs, 5, .chunksize = chunksize, .ret_failed = &failed);
            sp_future_release(failed);
            assert_int_equal(sp_shutdown(pool), SP_OK);
            sp_executor_release(pool);
            for (int i = 0; i < 5; i++)
                assert_int_equal(counts[i], 1);
            assert_int_equal(status, failing < 0 ? SP_OK : SP_RUNTIME_ERROR);
            for (int i = 0; i < 5; i++) {
                assert_true((outputs[i] != NULL) == (failing < 0));
                free(outputs[i]); /* on success they are the caller's */
            }
            assert_true(failing < 0 ? dropped_results == 0 : dropped_results > failing);
        }
    }
}

/* ---- results that nobody wants ---- */

static uint32_t made, unmade; /* atomic */

static void unmake(void *result)
{
    void *memory;
    memcpy(&memory, result, sizeof memory);
    if (memory != NULL)
        sp__add_seq_cst(&unmade, 1);
    free(memory);
}

static sp_status make_one(const int *in, text *out)
{
    if (*out != NULL)
        return sp_raise(SP_RUNTIME_ERROR, "the place of the result is not empty");
    *out = strdup("made"); /* also when it fails */
    sp__add_seq_cst(&made, 1);
    return *in != 0 ? sp_raise(SP_VALUE_ERROR, "no") : SP_OK;
}
SP_TASK_OWNING(make_one, int, text, NULL, unmake);

static void without_outputs_each_result_is_dropped_once(void **state)
{
    (void)state;
    enum { N = 9 };
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2);
    for (int failing = -1; failing < N; failing++)
        for (size_t chunksize = 1; chunksize <= N + 1; chunksize += 3) {
            int inputs[N] = { 0 };
            if (failing >= 0)
                inputs[failing] = 1;
            sp__store_seq_cst(&made, 0);
            sp__store_seq_cst(&unmade, 0);
            sp_status status = sp_map(pool, make_one, inputs, NULL, N, .chunksize = chunksize);
            assert_int_equal(status, failing < 0 ? SP_OK : SP_VALUE_ERROR);
            uint32_t count = sp__load_seq_cst(&made);
            assert_true(failing < 0 ? count == N : count >= (uint32_t)failing + 1);
            assert_int_equal(sp__load_seq_cst(&unmade), count);
        }
}

static sp_status nothing(const int *in, sp_none *out)
{
    (void)out;
    return *in == 3 ? SP_VALUE_ERROR : SP_OK;
}
SP_TASK(nothing, int, sp_none);

static sp_status map_in_task(sp_executor *const *pool, sp_none *out)
{
    (void)out;
    const int inputs[] = { 1, 2, 3, 4 };
    return sp_map(*pool, nothing, inputs, NULL, 4) == SP_VALUE_ERROR ? sp_map(*pool, nothing, inputs, NULL, 2)
                                                                     : SP_RUNTIME_ERROR;
}
typedef sp_executor *pool_pointer;
SP_TASK(map_in_task, pool_pointer, sp_none);

static void without_outputs_on_every_executor_and_inside_of_a_task(void **state)
{
    (void)state;
    sp_executor *pools[] = { sp_thread_pool(.max_workers = 1), sp_inline_pool(), sp_inline_pool(.seed = 3) };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(map_in_task(&pools[i], NULL), SP_OK);
        sp_auto(sp_future) future = sp_submit(pools[i], map_in_task, pools[i]);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
        sp_executor_release(pools[i]);
    }
}

/* ---- chunks that are not needed any more ---- */

static struct {
    sp_event long_one_runs, told;
    uint32_t ran; /* atomic: of the second chunk */
} needless;

/* The first chunk fails once the second runs; the second one's first input runs until it is asked to stop. */
static sp_status fail_or_wait(const int *in, int *out)
{
    *out = *in;
    if (*in == 0) {
        sp_event_wait(&needless.long_one_runs, SP_FOREVER);
        return sp_raise(SP_VALUE_ERROR, "the first");
    }
    if (*in < 10)
        return SP_OK;
    sp__add_seq_cst(&needless.ran, 1);
    sp_event_set(&needless.long_one_runs);
    while (!sp_cancel_requested())
        sp_sleep(0.0001);
    return SP_OK;
}
SP_TASK(fail_or_wait, int, int);

static void after_a_failure_the_rest_of_a_running_chunk_does_not_run(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2);
    for (long round = test_count(20); round > 0; round--) {
        memset(&needless, 0, sizeof needless);
        int inputs[20], outputs[20];
        for (int i = 0; i < 20; i++)
            inputs[i] = i;
        assert_int_equal(sp_map(pool, fail_or_wait, inputs, outputs, 20, .chunksize = 10), SP_VALUE_ERROR);
        assert_int_equal(sp__load_seq_cst(&needless.ran), 1);
    }
}

static struct {
    sp_event others_are_done;
    uint32_t ran; /* atomic: behind the failure */
} behind;

/* The second chunk fails while the first runs on: what comes behind the second is not needed, whatever the first does. */
static sp_status wait_or_fail(const int *in, int *out)
{
    *out = *in;
    if (*in == 0)
        sp_event_wait(&behind.others_are_done, SP_FOREVER);
    else if (*in == 10)
        return sp_raise(SP_VALUE_ERROR, "the second");
    else if (*in >= 20)
        sp__add_seq_cst(&behind.ran, 1);
    return SP_OK;
}
SP_TASK(wait_or_fail, int, int);

static sp_status let_the_first_go(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp_event_set(&behind.others_are_done);
    return SP_OK;
}
SP_TASK(let_the_first_go, sp_none, sp_none);

static sp_status map_and_fail(sp_executor *const *pool, sp_status *ret_status)
{
    int inputs[40], outputs[40];
    for (int i = 0; i < 40; i++)
        inputs[i] = i;
    *ret_status = sp_map(*pool, wait_or_fail, inputs, outputs, 40, .chunksize = 10);
    return SP_OK;
}
SP_TASK(map_and_fail, pool_pointer, sp_status);

static void what_comes_behind_a_failure_does_not_run_while_the_first_chunk_does(void **state)
{
    (void)state;
    memset(&behind, 0, sizeof behind);
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2);
    sp_auto(sp_executor) outside = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) map = sp_submit(outside, map_and_fail, pool);
    sp_executor_statistics stats;
    do /* the chunks of the map are queued, in their order, before what lets the first one go */
        sp_executor_stats(pool, &stats);
    while (stats.submitted < 4);
    sp_auto(sp_future) last = sp_submit(pool, let_the_first_go, SP_NONE);
    sp_status status;
    assert_int_equal(sp_result(map, &status, SP_FOREVER), SP_OK);
    assert_int_equal(status, SP_VALUE_ERROR);
    assert_int_equal(sp_result(last, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp__load_seq_cst(&behind.ran), 0);
}

static struct {
    sp_executor *pool;
    uint32_t args, results; /* atomic: dropped */
} cut;

static void drop_cut_arg(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&cut.args, 1);
}

static void drop_cut_result(void *result)
{
    if (*(const int *)result != 0)
        sp__add_seq_cst(&cut.results, 1);
}

/* The third input shuts the pool down, which cancels what is queued; a chunk that its mapping task runs lies there besides. */
static sp_status shut_down_at_three(const int *in, int *out)
{
    *out = *in;
    if (*in == 3)
        (void)!sp_shutdown(cut.pool, .no_wait = true, .cancel_futures = true);
    return SP_OK;
}
SP_TASK_OWNING(shut_down_at_three, int, int, drop_cut_arg, drop_cut_result);

static sp_status map_and_shut_down(const int *chunksize, int *ret_given)
{
    const int inputs[] = { 1, 2, 3, 4, 5, 6 };
    int outputs[6];
    sp_status status = sp_map(cut.pool, shut_down_at_three, inputs, outputs, 6, .chunksize = (size_t)*chunksize);
    *ret_given = status == SP_OK ? 6 : 0;
    return status == SP_OK || status == SP_CANCELLED ? SP_OK : status;
}
SP_TASK(map_and_shut_down, int, int);

static void a_shutdown_in_the_middle_of_a_chunk_drops_everything_once(void **state)
{
    (void)state;
    for (int chunksize = 1; chunksize <= 7; chunksize++) {
        int given = -1;
        cut.pool = sp_thread_pool(.max_workers = 1);
        sp__store_seq_cst(&cut.args, 0);
        sp__store_seq_cst(&cut.results, 0);
        sp_auto(sp_future) future = sp_submit(cut.pool, map_and_shut_down, chunksize);
        assert_int_equal(sp_result(future, &given, SP_FOREVER), SP_OK);
        assert_int_equal(sp_shutdown(cut.pool), SP_OK);
        sp_executor_release(cut.pool);
        assert_int_equal(sp__load_seq_cst(&cut.args), 6);
        assert_in_range(sp__load_seq_cst(&cut.results) + (uint32_t)given, 3, 6);
    }
}

/* ---- a handle that goes meanwhile ---- */

static sp_status release_pool(sp_executor *const *pool, sp_none *out)
{
    (void)out;
    sp_executor_release(*pool); /* the first input has the pool, the others have none */
    return SP_OK;
}
SP_TASK(release_pool, pool_pointer, sp_none);

static void a_task_of_the_map_may_release_the_pool(void **state)
{
    (void)state;
    for (long round = test_count(200); round > 0; round--) {
        sp_executor *pool = round % 3 != 0 ? sp_thread_pool(.max_workers = 2) : sp_inline_pool();
        sp_executor *inputs[8] = { pool };
        assert_int_equal(sp_map(pool, release_pool, inputs, NULL, 8), SP_OK);
    }
}

/* ---- a wait that is refused ---- */

/* A task maps two inputs.  The first it runs itself; the second is run by another worker and waits for the mapping task, so
   that waiting for it would close a cycle. */
static struct {
    sp_executor *pool;
    sp_future *mapping;
    sp_event has_mapping, other_runs;
    uint32_t dropped_args, dropped_results; /* atomic */
} cycle;

static sp_status member(const int *in, int *out)
{
    *out = *in;
    if (*in == 0) {
        sp_event_wait(&cycle.other_runs, SP_FOREVER); /* the second is with the other worker now */
        return SP_OK;
    }
    sp_event_set(&cycle.other_runs);
    sp_event_wait(&cycle.has_mapping, SP_FOREVER);
    return sp_result(cycle.mapping, NULL, SP_FOREVER);
}

static void drop_arg(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&cycle.dropped_args, 1);
}

static void drop_result(void *result)
{
    (void)result;
    sp__add_seq_cst(&cycle.dropped_results, 1);
}
SP_TASK_OWNING(member, int, int, drop_arg, drop_result);

static sp_status map_members(const sp_none *in, sp_status *ret_told)
{
    (void)in;
    const int inputs[2] = { 0, 1 };
    int outputs[2] = { 7, 7 };
    sp_future *failed = NULL;
    sp_status status = sp_map(cycle.pool, member, inputs, outputs, 2, .ret_failed = &failed);
    *ret_told = failed != NULL ? sp_result(failed, NULL, SP_NOWAIT) : SP_OK;
    sp_future_release(failed);
    if (status != *ret_told || outputs[0] != 7 || outputs[1] != 7)
        return SP_RUNTIME_ERROR;
    return SP_OK;
}
SP_TASK(map_members, sp_none, sp_status);

/* Who closes the cycle is told: the map, or the member.  Nothing is freed under a chunk that runs, all is dropped once. */
static void a_map_that_would_wait_for_itself_is_a_deadlock(void **state)
{
    (void)state;
    for (long round = test_count(100); round > 0; round--) {
        memset(&cycle, 0, sizeof cycle);
        cycle.pool = sp_thread_pool(.max_workers = 2);
        cycle.mapping = sp_submit(cycle.pool, map_members, SP_NONE);
        sp_event_set(&cycle.has_mapping);
        sp_status told = SP_OK;
        assert_int_equal(sp_result(cycle.mapping, &told, SP_FOREVER), SP_OK);
        assert_int_equal(told, SP_DEADLOCK);
        assert_int_equal(sp_shutdown(cycle.pool), SP_OK);
        sp_future_release(cycle.mapping); /* not before: the second member may still wait for it */
        sp_executor_release(cycle.pool);
        test_await(sp__load_acquire(&cycle.dropped_args) == 2);
        /* two that were produced, and the empty one of the failed future if the member was told */
        assert_in_range(sp__load_acquire(&cycle.dropped_results), 2, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_in_input_order_for_every_chunksize),
        cmocka_unit_test(as_many_inputs_go_to_a_worker_as_the_chunksize_says),
        cmocka_unit_test(the_first_error_in_input_order_is_returned_and_outputs_are_untouched),
        cmocka_unit_test(map_on_a_closed_pool_is_shut_down),
        cmocka_unit_test(arguments_and_results_are_dropped_exactly_once),
        cmocka_unit_test(without_outputs_each_result_is_dropped_once),
        cmocka_unit_test(without_outputs_on_every_executor_and_inside_of_a_task),
        cmocka_unit_test(after_a_failure_the_rest_of_a_running_chunk_does_not_run),
        cmocka_unit_test(what_comes_behind_a_failure_does_not_run_while_the_first_chunk_does),
        cmocka_unit_test(a_shutdown_in_the_middle_of_a_chunk_drops_everything_once),
        cmocka_unit_test(a_task_of_the_map_may_release_the_pool),
        cmocka_unit_test(a_map_that_would_wait_for_itself_is_a_deadlock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
