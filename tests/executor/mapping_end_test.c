/* Lazy map: its early end, and who drops what.

   SPDX-License-Identifier: MIT */
#include "mapping.h"

static uint32_t stopped; /* atomic */

static sp_status until_cancelled(const int *in, int *out)
{
    sp__add_seq_cst(&begun, 1);
    while (!sp_cancel_requested())
        sched_yield();
    *out = *in;
    sp__add_seq_cst(&stopped, 1);
    return SP_CANCELLED;
}
SP_TASK(until_cancelled, int, int);

/* ---- early release ---- */

static void release_cancels_the_rest_and_does_not_wait(void **state)
{
    (void)state;
    sp__store_relaxed(&begun, 0);
    sp__store_relaxed(&stopped, 0);
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 100 };
    sp_mapping *mapping = sp_map_lazy(pool, until_cancelled, next_number, &numbers, .buffersize = 4);
    int value;
    assert_int_equal(sp_map_next(mapping, &value, SP_NOWAIT), SP_TIMEOUT);
    test_await(sp__load_seq_cst(&begun) == 1);
    sp_mapping_release(mapping); /* the one that runs is asked to stop, the others never begin */
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(sp__load_seq_cst(&begun), 1);
    assert_int_equal(sp__load_seq_cst(&stopped), 1);
    sp_executor_release(pool);
}

/* 0 waits and fails; the others go on until they are asked to stop, and fail then. */
static sp_status fail_late(const int *in, int *out)
{
    *out = *in;
    if (*in == 0)
        sp_event_wait(&gate, SP_FOREVER);
    else
        sp__add_seq_cst(&begun, 1);
    while (*in != 0 && !sp_cancel_requested())
        sched_yield();
    return sp_raise(SP_USER_ERROR + *in, "late");
}
SP_TASK(fail_late, int, int);

static uint32_t unseen; /* atomic */

static void count_unseen(const sp_error *error, void *context)
{
    (void)error, (void)context;
    sp__add_seq_cst(&unseen, 1);
}

static void a_failure_cancels_the_rest_and_speaks_for_it(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    sp__store_relaxed(&begun, 0);
    sp__store_relaxed(&unseen, 0);
    sp_set_unseen_error_hook(count_unseen, NULL);
    sp_executor *pool = sp_thread_pool(.max_workers = 3);
    struct numbers numbers = { .n = 100 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, fail_late, next_number, &numbers, .buffersize = 5);
    int value;
    assert_int_equal(sp_map_next(mapping, &value, SP_NOWAIT), SP_TIMEOUT);
    test_await(sp__load_seq_cst(&begun) == 2);
    sp_event_set(&gate);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_USER_ERROR);
    assert_int_equal(sp_shutdown(pool), SP_OK); /* the two that ran were asked to stop, else this would not return */
    sp_executor_release(pool);
    assert_true(sp__load_seq_cst(&begun) <= 3); /* one may have begun between the failure and the cancel */
    assert_int_equal(sp__load_seq_cst(&unseen), 0);
    sp_set_unseen_error_hook(NULL, NULL);
}

static void errors_of_which_no_call_has_told_are_unseen(void **state)
{
    (void)state;
    sp__store_relaxed(&unseen, 0);
    sp_set_unseen_error_hook(count_unseen, NULL);
    sp_auto(sp_executor) pool = sp_inline_pool(.seed = 3);
    struct numbers numbers = { .n = 8, .pulled = 4 };
    sp_mapping *mapping = sp_map_lazy(pool, picky, next_number, &numbers, .buffersize = 4);
    int value;
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER)); /* 5 and 7 have failed */
    sp_mapping_release(mapping);
    assert_int_equal(sp__load_seq_cst(&unseen), 2);
    sp_set_unseen_error_hook(NULL, NULL);
}

static void the_mapping_keeps_the_executor(void **state)
{
    (void)state;
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    struct numbers numbers = { .n = 5 };
    sp_auto(sp_mapping) mapping = sp_map_lazy(pool, triple, next_number, &numbers, .buffersize = 2);
    sp_executor_release(pool);
    int value;
    for (int i = 0; i < 5; i++)
        assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_OK);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
}

/* ---- ownership ---- */

struct owned {
    uint32_t *args, *results; /* counted up when dropped: one for each input */
    int number;
};
struct made {
    uint32_t *dropped;
};

static void drop_owned(void *arg)
{
    struct owned *owned = arg;
    sp__add_seq_cst(&owned->args[owned->number], 1);
}

static void drop_made(void *result)
{
    struct made *made = result;
    if (made->dropped != NULL)
        sp__add_seq_cst(made->dropped, 1);
}

static uint32_t runs; /* atomic */

static sp_status make(const struct owned *in, struct made *out)
{
    sp__add_seq_cst(&runs, 1);
    out->dropped = &in->results[in->number]; /* also when it fails: what was begun is dropped */
    return in->number == 6 ? sp_raise(SP_RUNTIME_ERROR, "six") : SP_OK;
}
SP_TASK_OWNING(make, struct owned, struct made, drop_owned, drop_made);

struct owned_inputs {
    struct numbers numbers;
    uint32_t *args, *results;
};

static bool next_owned(void *context, void *ret_arg)
{
    struct owned_inputs *inputs = context;
    int number = inputs->numbers.pulled;
    *(struct owned *)ret_arg = (struct owned){ inputs->args, inputs->results, number };
    return next_number(&inputs->numbers, &(int){ 0 });
}

static void ignore_unseen(const sp_error *error, void *context)
{
    (void)error, (void)context;
}

/* Take `takes` results, then release; what was written is ours, everything else is dropped once. */
static void take_and_release(sp_executor *pool, int n, int takes, size_t buffersize)
{
    uint32_t args[10] = { 0 }, results[10] = { 0 };
    struct owned_inputs inputs = { { .n = n }, args, results };
    sp_mapping *mapping = sp_map_lazy(pool, make, next_owned, &inputs, .buffersize = buffersize);
    int taken = 0;
    sp__store_relaxed(&runs, 0);
    for (int i = 0; i < takes; i++) {
        struct made made = { NULL };
        sp_status status = sp_map_next(mapping, i == 2 ? NULL : &made, SP_FOREVER);
        if (status == SP_OK && i != 2) {
            assert_ptr_equal(made.dropped, &results[i]);
            taken++;
        }
        assert_true(status == SP_OK || i >= 6 || i >= n);
    }
    sp_mapping_release(mapping);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool); /* the last worker is gone, and its references */
    int dropped = 0;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(args[i], i < inputs.numbers.pulled);
        assert_true(results[i] <= 1);
        if (i < takes && i != 2 && i < 6)
            assert_int_equal(results[i], 0);
        dropped += (int)results[i];
    }
    assert_int_equal(dropped + taken, sp__load_seq_cst(&runs));
}

static void arguments_and_results_are_dropped_exactly_once(void **state)
{
    (void)state;
    sp_set_unseen_error_hook(ignore_unseen, NULL);
    for (int n = 0; n <= 9; n += 3)
        for (int takes = 0; takes <= 9; takes++)
            for (size_t buffersize = 1; buffersize <= 5; buffersize += 2) {
                take_and_release(sp_thread_pool(.max_workers = 2), n, takes, buffersize);
                take_and_release(sp_inline_pool(), n, takes, buffersize);
                take_and_release(sp_inline_pool(.seed = 5), n, takes, buffersize);
            }
    sp_set_unseen_error_hook(NULL, NULL);
}

/* Refuse every call of the system in turn; each input is dropped once, each result once or taken. */
static void whatever_is_refused_drops_are_exact(void **state)
{
    (void)state;
    sp_set_unseen_error_hook(ignore_unseen, NULL);
    uint64_t refused = 1;
    for (uint64_t call = 1; refused > 0; call++) {
        sp_executor *pool = sp_thread_pool(.max_workers = 2);
        uint32_t args[10] = { 0 }, results[10] = { 0 };
        struct owned_inputs inputs = { { .n = 6 }, args, results };
        uint32_t taken = 0;
        sp__store_relaxed(&runs, 0);
        sp__fault_arm(call, call % 2 == 0);
        sp_mapping *mapping = sp_map_lazy(pool, make, next_owned, &inputs, .buffersize = 3);
        struct made made;
        sp_status status;
        while ((status = sp_map_next(mapping, &made, SP_FOREVER)) == SP_OK)
            taken++;
        refused = sp__fault_disarm();
        assert_true(status == SP_STOP || status == SP_MEMORY_ERROR || status == SP_OS_ERROR);
        assert_true(taken == 6 || refused > 0);
        sp_mapping_release(mapping);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
        uint32_t dropped = 0;
        for (int i = 0; i < 10; i++) {
            assert_int_equal(args[i], i < inputs.numbers.pulled);
            dropped += results[i];
        }
        assert_int_equal(dropped + taken, sp__load_seq_cst(&runs));
    }
    sp_set_unseen_error_hook(NULL, NULL);
}

/* ---- released by a drop ---- */

struct holder {
    sp_mapping **mapping;
};

static void drop_holder(void *arg)
{
    const struct holder *holder = arg;
    sp_mapping_release(*holder->mapping);
    *holder->mapping = NULL;
}

static sp_status fail_holding(const struct holder *in, int *out)
{
    (void)in, (void)out;
    return sp_raise(SP_USER_ERROR, "held");
}
SP_TASK_OWNING(fail_holding, struct holder, int, drop_holder, NULL);

static bool next_holder(void *context, void *ret_arg)
{
    *(struct holder *)ret_arg = (struct holder){ context };
    return true;
}

/* The failed future lives until the next call, and the last act of that call's is to free the mapping. */
static void what_has_failed_may_release_the_mapping_with_its_drop(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_mapping *mapping = sp_map_lazy(pool, fail_holding, next_holder, &mapping, .buffersize = 1);
    int value;
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_USER_ERROR);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER)); /* the worker has given up its reference */
    assert_non_null(mapping);
    assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_STOP);
    assert_null(mapping);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(release_cancels_the_rest_and_does_not_wait),
        cmocka_unit_test(a_failure_cancels_the_rest_and_speaks_for_it),
        cmocka_unit_test(errors_of_which_no_call_has_told_are_unseen),
        cmocka_unit_test(the_mapping_keeps_the_executor),
        cmocka_unit_test(arguments_and_results_are_dropped_exactly_once),
        cmocka_unit_test(whatever_is_refused_drops_are_exact),
        cmocka_unit_test(what_has_failed_may_release_the_mapping_with_its_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
