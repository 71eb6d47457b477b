/* Which waiting task runs another on its stack: one with stack left, and without values in locals.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>
#include <string.h>

#include "base/atomic.h"
#include "os/fault.h"

static sp_executor *pool; /* of the test that runs */

static void open_pool(unsigned workers, size_t stack_size, size_t stack_to_help)
{
    pool = sp_thread_pool(.max_workers = workers, .stack_size = stack_size, .stack_to_help = stack_to_help);
    assert_non_null(pool);
}

static void close_pool(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static unsigned count_workers(void)
{
    sp_executor_statistics statistics;
    sp_executor_stats(pool, &statistics);
    return statistics.workers;
}

enum way { RESULT, RESULT_TIMED, WAIT, ALL, FIRST, AS_COMPLETED, MAP, MAP_LAZY, WAYS };

static bool one_input(void *context, void *ret_arg)
{
    memcpy(ret_arg, context, sizeof(int) * 3);
    bool *given = (bool *)((int *)context + 3);
    bool first = !*given;
    *given = true;
    return first;
}

/* Submit the task for `arg` and have its result, in one of the ways that there are to wait. */
struct call {
    int depth, way, use;
};
static sp_status nested(const struct call *call, int *ret);
SP_TASK(nested, struct call, int);

static sp_status wait_for(sp_future *future, enum way way)
{
    switch (way) {
    case RESULT_TIMED:
        return sp_result(future, NULL, 60.0);
    case WAIT:
        return sp_future_wait(future, SP_FOREVER) ? SP_OK : SP_RUNTIME_ERROR;
    case ALL:
        return sp_wait(&future, 1, SP_ALL_COMPLETED, SP_FOREVER);
    case FIRST:
        return sp_wait(&future, 1, SP_FIRST_COMPLETED, SP_FOREVER);
    case AS_COMPLETED: {
        sp_auto(sp_completion) set = sp_as_completed(&future, 1, SP_FOREVER);
        return sp_next(set) == future ? SP_OK : sp_completion_status(set);
    }
    default:
        return sp_result(future, NULL, SP_FOREVER);
    }
}

static sp_status run_inner(const struct call *call, int *ret)
{
    if (call->way == MAP)
        return sp_map(pool, nested, call, ret, 1);
    if (call->way == MAP_LAZY) {
        struct {
            struct call call;
            bool given;
        } context = { *call, false };
        _Static_assert(sizeof(struct call) == 3 * sizeof(int), "one_input counts on it");
        sp_auto(sp_mapping) mapping = sp_map_lazy(pool, nested, one_input, &context);
        return sp_map_next(mapping, ret, SP_FOREVER);
    }
    sp_auto(sp_future) future = sp_submit_from(pool, nested, call);
    sp_status status = wait_for(future, (enum way)call->way);
    return status == SP_OK ? sp_result(future, ret, SP_NOWAIT) : status;
}

/* ---- the stack ---- */

/* Use so many KiB of the stack, and go one deeper. */
static sp_status nested(const struct call *call, int *ret)
{
    enum { KIB = 1024 };
    volatile char used[(size_t)call->use * KIB + 1];
    for (size_t i = 0; i < sizeof used; i += 512)
        used[i] = 1;
    int below = 0;
    sp_status status = SP_OK;
    struct call inner = { call->depth - 1, call->way, call->use };
    if (call->depth > 0)
        status = run_inner(&inner, &below);
    *ret = below + used[0];
    return status;
}

static void go_down(struct call call)
{
    int result = 0;
    sp_auto(sp_future) future = sp_submit_from(pool, nested, &call);
    assert_int_equal(sp_result(future, &result, SP_FOREVER), SP_OK);
    assert_int_equal(result, call.depth + 1);
}

static void a_task_that_needs_much_of_the_stack_has_it(void **state)
{
    (void)state;
    for (int way = RESULT; way < WAYS; way++)
        for (int use = 20; use <= 220; use += 40)
            for (unsigned workers = 1; workers <= 3; workers += 2) {
                open_pool(workers, 256 * 1024, 0);
                go_down((struct call){ 6, way, use });
                close_pool();
            }
}

static void so_much_stack_as_the_option_says_is_left(void **state)
{
    (void)state;
    open_pool(1, 1024 * 1024, 700 * 1024);
    sp_future *future = sp_submit(pool, nested, 1, RESULT, 280);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(count_workers(), 1); /* 744 KiB were left */
    sp_future_release(future);
    future = sp_submit(pool, nested, 1, RESULT, 340);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(count_workers(), 2); /* 684 KiB */
    sp_future_release(future);
    close_pool();
    open_pool(1, 256 * 1024, SIZE_MAX); /* never */
    go_down((struct call){ 3, RESULT, 1 });
    close_pool();
}

/* Small frames on a usual stack: a thread for a thousand levels at least, not one for each. */
static void deep_recursion_does_not_take_a_thread_for_each_level(void **state)
{
    (void)state;
    open_pool(1, 8 * 1024 * 1024, 0);
    go_down((struct call){ 1000, RESULT, 0 });
    assert_int_equal(count_workers(), 1);
    close_pool();
}

/* ---- locals ---- */

struct user {
    char name[8];
};
static int fresh, finished; /* atomic */

static void make_nobody(void *value)
{
    strcpy(((struct user *)value)->name, "nobody");
    sp__add_relaxed(&fresh, 1); /* relaxed: a count */
}

static void finish_user(void *value)
{
    (void)value;
    sp__add_relaxed(&finished, 1); /* relaxed: a count */
}

static sp_local user = SP_LOCAL(struct user, make_nobody, finish_user);

static const char *whose(void)
{
    return ((struct user *)sp_local_get(&user))->name;
}

static void become(const char *name)
{
    strcpy(((struct user *)sp_local_get(&user))->name, name);
}

/* The awaited task: it must not be ann's, and becomes root. */
static sp_status audit(const struct call *call, int *ret)
{
    *ret = call->depth;
    if (strcmp(whose(), "ann") == 0)
        return sp_raise(SP_RUNTIME_ERROR, "the awaited task has the waiter's value");
    become("root");
    return SP_OK;
}
SP_TASK(audit, struct call, int);

static sp_status wait_in(enum way way)
{
    int result;
    struct call arg = { 7, 0, 0 };
    if (way == MAP)
        return sp_map(pool, audit, &arg, &result, 1);
    if (way == MAP_LAZY) {
        struct {
            struct call call;
            bool given;
        } context = { arg, false };
        sp_auto(sp_mapping) mapping = sp_map_lazy(pool, audit, one_input, &context);
        return sp_map_next(mapping, &result, SP_FOREVER);
    }
    sp_auto(sp_future) future = sp_submit_from(pool, audit, &arg);
    sp_status status = wait_for(future, way);
    return status == SP_OK ? sp_result(future, &result, SP_NOWAIT) : status;
}

static sp_status request(const int *way, sp_none *none)
{
    (void)none;
    become("ann");
    sp_status status = wait_in((enum way) * way);
    if (status != SP_OK)
        return sp_raise(status, "the wait failed");
    if (strcmp(whose(), "ann") != 0)
        return sp_raise(SP_VALUE_ERROR, "began as ann, goes on as %s", whose());
    become("nobody");
    return SP_OK;
}
SP_TASK(request, int, sp_none);

static void a_waiting_task_keeps_its_values(void **state)
{
    (void)state;
    for (int way = RESULT; way < WAYS; way++)
        for (unsigned workers = 1; workers <= 4; workers++) {
            open_pool(workers, 0, 0);
            for (long i = test_count(200); i > 0; i--) {
                sp_future *futures[2] = { sp_submit(pool, request, way), sp_submit(pool, request, way) };
                for (int k = 0; k < 2; k++)
                    if (sp_result(futures[k], NULL, SP_FOREVER) != SP_OK)
                        fail_msg("way %d, %u workers: %s", way, workers, sp_future_error(futures[k])->message);
                sp_release_all(futures, 2);
            }
            close_pool();
        }
}

/* A task that has not asked for a value runs the awaited one, and has then what an earlier task left: no thread is needed. */
static sp_status ask_after_the_wait(const sp_none *none, int *ret)
{
    (void)none;
    sp_auto(sp_future) future = sp_submit(pool, audit, 1, 0, 0);
    sp_status status = sp_result(future, NULL, SP_FOREVER);
    *ret = strcmp(whose(), "root") == 0;
    return status;
}
SP_TASK(ask_after_the_wait, sp_none, int);

static void a_task_without_values_still_runs_what_it_waits_for(void **state)
{
    (void)state;
    open_pool(1, 0, 0);
    for (int i = 0; i < 3; i++) { /* the values that the one before has used are none of the next one's */
        int is_left = 0;
        sp_auto(sp_future) future = sp_submit(pool, ask_after_the_wait);
        assert_int_equal(sp_result(future, &is_left, SP_FOREVER), SP_OK);
        assert_int_equal(is_left, 1);
    }
    assert_int_equal(count_workers(), 1);
    close_pool();
}

/* A task of an inline pool that waits on a worker's stack: the worker's own task lies below it. */
static sp_executor *inner_pool;

static sp_status wait_in_inline_task(const int *way, sp_none *none)
{
    (void)none;
    return wait_in((enum way) * way);
}
SP_TASK(wait_in_inline_task, int, sp_none);

static sp_status request_through_inline(const int *way, sp_none *none)
{
    (void)none;
    become("ann");
    sp_auto(sp_future) future = sp_submit_from(inner_pool, wait_in_inline_task, way);
    sp_status status = sp_result(future, NULL, SP_FOREVER);
    if (status == SP_OK && strcmp(whose(), "ann") != 0)
        return sp_raise(SP_VALUE_ERROR, "began as ann, goes on as %s", whose());
    become("nobody");
    return status;
}
SP_TASK(request_through_inline, int, sp_none);

static void values_are_kept_across_an_inline_pool(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2; seed++)
        for (int way = RESULT; way < WAYS; way++) {
            open_pool(1, 0, 0);
            inner_pool = sp_inline_pool(.seed = seed);
            sp_future *future = sp_submit(pool, request_through_inline, way);
            assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
            sp_future_release(future);
            sp_executor_release(inner_pool);
            close_pool();
        }
}

/* The system refuses a thread: the awaited task runs on the waiter's stack, with values of its own. */
static sp_status audit_quietly(const struct call *call, int *ret)
{
    sp__fault_disarm(); /* only the thread is refused */
    return audit(call, ret);
}
SP_TASK(audit_quietly, struct call, int);

static sp_status request_without_a_thread(const sp_none *none, int *ret_made)
{
    (void)none;
    become("ann");
    int made = sp__load_relaxed(&fresh), ended = sp__load_relaxed(&finished); /* relaxed: nobody else counts */
    sp_auto(sp_future) future = sp_submit(pool, audit_quietly, 1, 0, 0);
    sp__fault_arm(1, true);
    sp_status status = sp_result(future, NULL, SP_FOREVER);
    sp__fault_disarm();
    if (status == SP_OK && strcmp(whose(), "ann") != 0)
        return sp_raise(SP_VALUE_ERROR, "began as ann, goes on as %s", whose());
    *ret_made = sp__load_relaxed(&fresh) - made; /* relaxed: as above */
    become("nobody");
    return sp__load_relaxed(&finished) - ended == *ret_made ? status : SP_RUNTIME_ERROR; /* relaxed: as above */
}
SP_TASK(request_without_a_thread, sp_none, int);

static void values_are_kept_where_no_thread_can_be_had(void **state)
{
    (void)state;
    open_pool(1, 0, 0);
    int made = 0;
    sp_auto(sp_future) future = sp_submit(pool, request_without_a_thread);
    assert_int_equal(sp_result(future, &made, SP_FOREVER), SP_OK);
    assert_int_equal(made, 1);
    assert_int_equal(count_workers(), 1);
    close_pool();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_that_needs_much_of_the_stack_has_it),
        cmocka_unit_test(so_much_stack_as_the_option_says_is_left),
        cmocka_unit_test(deep_recursion_does_not_take_a_thread_for_each_level),
        cmocka_unit_test(a_waiting_task_keeps_its_values),
        cmocka_unit_test(a_task_without_values_still_runs_what_it_waits_for),
        cmocka_unit_test(values_are_kept_across_an_inline_pool),
        cmocka_unit_test(values_are_kept_where_no_thread_can_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
