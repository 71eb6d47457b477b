/* Futures, their callbacks, errors, sets and waits leave no memory behind, however they end.

   SPDX-License-Identifier: MIT */
#include "leaks.h"

#include "base/atomic.h"

static sp_executor *pool; /* of all scenarios */
static uint32_t kept;     /* atomic: arguments and results that are to be dropped */

struct bytes {
    char bytes[900]; /* more than a block of the usual sizes holds, and more than a copy on the stack */
};

static void drop(void *owned)
{
    (void)owned;
    sp__sub_seq_cst(&kept, 1);
}

static sp_status produce(const struct bytes *in, int *out)
{
    *out = (int)(unsigned char)in->bytes[0] - 1;
    if (*out < 0)
        return sp_raise(SP_VALUE_ERROR, "%d is negative", *out);
    return SP_OK;
}
SP_TASK_OWNING(produce, struct bytes, int, drop, drop);

static sp_future *submit(int value)
{
    struct bytes arg = { { (char)(value + 1) } };
    sp__add_seq_cst(&kept, 2);
    return sp_submit_from(pool, produce, &arg);
}

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

static sp_future *pending(void)
{
    return sp_future_new(&pass_sp_task, &(int){ 1 });
}

static sp_status set(sp_future *future, int value)
{
    return sp_future_set_result(future, &value, sizeof value);
}

static void count(sp_future *future, void *context)
{
    (void)future;
    sp__add_seq_cst((unsigned *)context, 1); /* a worker may call it beside another thread */
}

/* ---- arguments, results, errors ---- */

static void own_and_fail(void)
{
    for (int value = -1; value <= 1; value++) {
        sp_future *future = submit(value);
        assert_true(sp_future_wait(future, SP_FOREVER));
        if (value != 0)
            assert_true((sp_future_error(future) != NULL) == (value < 0));
        sp_future_release(future);
    }
    test_await(sp__load_seq_cst(&kept) == 0);
}

static void settle_by_hand(void)
{
    const sp_error error = { .status = SP_USER_ERROR, .message = "by hand", .os_errno = 7 };
    sp_future *futures[] = { pending(), pending(), pending(), pending() };
    assert_int_equal(set(futures[0], 3), SP_OK);
    assert_int_equal(sp_future_set_error(futures[1], &error), SP_OK);
    assert_true(sp_future_cancel(futures[2]));
    assert_int_equal(sp_future_set_error(futures[2], &error), SP_INVALID_STATE);
    assert_int_equal(sp_future_error(futures[1])->os_errno, 7);
    assert_int_equal(sp_future_error(futures[2])->status, SP_CANCELLED);
    sp_release_all(futures, 4);
}

static sp_status raise_twice(const int *in, int *out)
{
    *out = *in;
    assert_int_equal(sp_raise(SP_VALUE_ERROR, "first"), SP_VALUE_ERROR);
    assert_int_equal(sp_raise(SP_TYPE_ERROR, "second"), SP_TYPE_ERROR);
    return *in == 0 ? SP_OK : *in == 1 ? SP_TYPE_ERROR : SP_OS_ERROR;
}
SP_TASK(raise_twice, int, int);

static void raise_and_handle(void)
{
    for (int how = 0; how < 3; how++) {
        sp_auto(sp_future) future = sp_submit(pool, raise_twice, how);
        assert_true(sp_future_wait(future, SP_FOREVER));
    }
}

/* ---- callbacks ---- */

static void call_back(void)
{
    unsigned calls = 0;
    sp_future *futures[] = { pending(), pending(), submit(1) };
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            sp_future_add_done_callback(futures[i], count, &calls);
    assert_int_equal(set(futures[0], 3), SP_OK);
    assert_true(sp_future_wait(futures[2], SP_FOREVER));
    sp_future_add_done_callback(futures[0], count, &calls);
    sp_release_all(futures, 3); /* the second with callbacks that are never called */
    test_await(sp__load_seq_cst(&kept) == 0);
}

/* Callbacks in callbacks, deeper than they nest. */
enum { LINKS = 20 };
static sp_future *links[LINKS];
static unsigned deep_calls; /* of callbacks that may be called when the one that has added them has returned */

static void end_next(sp_future *future, void *context)
{
    sp_future **link = context;
    if (link < &links[LINKS - 1])
        assert_int_equal(set(link[1], 1), SP_OK);
    sp_future_add_done_callback(future, count, &deep_calls);
}

static void call_back_deeply(void)
{
    for (size_t i = 0; i < LINKS; i++)
        links[i] = pending();
    for (size_t i = 0; i < LINKS; i++)
        sp_future_add_done_callback(links[i], end_next, &links[i]);
    assert_int_equal(set(links[0], 1), SP_OK);
    assert_true(sp_future_done(links[LINKS - 1]));
    sp_release_all(links, LINKS);
}

/* ---- sets ---- */

static void wait_for_sets(void)
{
    enum { N = 12 };
    static const sp_wait_until ways[] = { SP_ALL_COMPLETED, SP_FIRST_COMPLETED, SP_FIRST_ERROR };
    for (int way = 0; way < 3; way++) {
        sp_future *futures[N], *never = pending();
        for (int i = 0; i < N - 1; i++)
            futures[i] = submit(i);
        futures[N - 1] = never;
        assert_int_equal(sp_wait(futures, N - 1, ways[way], SP_FOREVER), SP_OK);
        assert_int_equal(sp_wait(futures, N, SP_ALL_COMPLETED, 0.0001), SP_TIMEOUT);
        sp_release_all(futures, N);
    }
    test_await(sp__load_seq_cst(&kept) == 0);
}

static void read_sets(void)
{
    enum { N = 30, SETS = 12 };
    sp_future *futures[N];
    sp_completion *sets[SETS];
    for (int i = 0; i < N; i++)
        futures[i] = i % 3 == 2 ? sp_future_retain(futures[0]) : pending(); /* some twice */
    for (int i = 0; i < SETS; i++)
        sets[i] = sp_as_completed(futures, N, SP_FOREVER);
    for (int i = 0; i < N; i++)
        if (i % 3 != 2)
            assert_int_equal(set(futures[i], i), SP_OK);
    for (int i = 0; i < SETS; i++) {
        for (int taken = 0; taken < i; taken++)
            assert_non_null(sp_next(sets[i]));
        sp_completion_release(sets[i]);
    }
    sp_release_all(futures, N);
}

static sp_status read_set(const int *in, int *out)
{
    enum { N = 5 };
    sp_future *futures[N];
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, pass, i);
    sp_auto(sp_completion) set = sp_as_completed(futures, N, 60.0);
    for (*out = *in; sp_next(set) != NULL; ++*out)
        continue;
    sp_release_all(futures, N);
    return SP_OK;
}
SP_TASK(read_set, int, int);

static void read_sets_in_tasks(void)
{
    sp_auto(sp_future) future = sp_submit(pool, read_set, 0);
    int value = 0;
    assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 5);
}

/* ---- refusals ---- */

static void refuse_in_turn(void)
{
    unsigned calls = 0;
    for (uint64_t call = 1; call < 8; call++) {
        sp__fault_arm(call, false);
        sp_future *future = submit(1), *other = pending();
        sp_future_add_done_callback(future, count, &calls);
        sp_completion *set = sp_as_completed((sp_future *[]){ future, other }, 2, 0);
        sp__fault_disarm();
        (void)sp_next(set);
        assert_true(sp_future_wait(future, SP_FOREVER));
        sp_completion_release(set);
        sp_future_release(future);
        sp_future_release(other);
    }
    test_await(sp__load_seq_cst(&kept) <= 1); /* without a future there is no result */
    sp__store_seq_cst(&kept, 0);
}

LEAKS_NOTHING(own_and_fail)
LEAKS_NOTHING(settle_by_hand)
LEAKS_NOTHING(raise_and_handle)
LEAKS_NOTHING(call_back)
LEAKS_NOTHING(call_back_deeply)
LEAKS_NOTHING(wait_for_sets)
LEAKS_NOTHING(read_sets)
LEAKS_NOTHING(read_sets_in_tasks)
LEAKS_NOTHING(refuse_in_turn)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaks_of_own_and_fail),     cmocka_unit_test(leaks_of_settle_by_hand),
        cmocka_unit_test(leaks_of_raise_and_handle), cmocka_unit_test(leaks_of_call_back),
        cmocka_unit_test(leaks_of_call_back_deeply), cmocka_unit_test(leaks_of_wait_for_sets),
        cmocka_unit_test(leaks_of_read_sets),        cmocka_unit_test(leaks_of_read_sets_in_tasks),
        cmocka_unit_test(leaks_of_refuse_in_turn),
    };
    (void)argc;
    leaks_begin(argv);
    pool = sp_thread_pool(.max_workers = 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
