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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_in_input_order_for_every_chunksize),
        cmocka_unit_test(the_first_error_in_input_order_is_returned_and_outputs_are_untouched),
        cmocka_unit_test(map_on_a_closed_pool_is_shut_down),
        cmocka_unit_test(arguments_and_results_are_dropped_exactly_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
