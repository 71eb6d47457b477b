/* Every call that the system may refuse while a task waits for tasks of its own pool of one worker, refused in turn: once, and
   from then on.  Somebody must stand in for the worker, or it must help itself; nothing may wait for ever.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fault/refuse.h"

typedef enum way { RESULT, RESULT_TIMED, ALL, ALL_TIMED, FIRST, AS_COMPLETED, MAP } way;
static sp_executor *nest;

static sp_status wait_inside(const way *in, sp_none *out)
{
    sp_future *futures[2];
    int inputs[2] = { 3, 4 }, outputs[2];
    sp_status status = SP_OK;
    (void)out;
    if (*in == MAP)
        return sp_map(nest, square, inputs, outputs, 2);
    for (int i = 0; i < 2; i++)
        futures[i] = sp_submit(nest, square, inputs[i]);
    if (*in == AS_COMPLETED) {
        sp_auto(sp_completion) set = sp_as_completed(futures, 2, SP_FOREVER);
        while (sp_next(set) != NULL)
            continue;
        status = sp_completion_status(set);
    } else if (*in == ALL || *in == ALL_TIMED) {
        status = sp_wait(futures, 2, SP_ALL_COMPLETED, *in == ALL ? SP_FOREVER : 0.02);
    } else if (*in == FIRST) {
        status = sp_wait(futures, 2, SP_FIRST_COMPLETED, SP_FOREVER);
    } else {
        for (int i = 0; i < 2 && status == SP_OK; i++)
            status = sp_result(futures[i], NULL, *in == RESULT ? SP_FOREVER : 0.02);
    }
    sp_release_all(futures, 2);
    return status;
}
SP_TASK(wait_inside, way, sp_none);

/* On one worker: somebody must stand in for it, or it must help itself.  A limit may pass when nobody can. */
static bool nested(way how)
{
    nest = new_pool(1);
    sp_future *future = sp_submit(nest, wait_inside, how);
    sp_status status = sp_result(future, NULL, SP_FOREVER);
    bool all = status == SP_TIMEOUT && (how == RESULT_TIMED || how == ALL_TIMED) ? true : went_well(status);
    (void)sp_future_error(future);
    sp_future_release(future);
    stress_expect(sp_executor_wait_idle(nest, SP_FOREVER));
    end_pool(nest);
    return all;
}

#define SCENARIO(name, how)                                                                                            \
    static bool name(void)                                                                                             \
    {                                                                                                                  \
        return nested(how);                                                                                            \
    }                                                                                                                  \
    static void name##_refused_once(void **state)                                                                      \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        refuse(name, #name, false);                                                                                    \
    }                                                                                                                  \
    static void name##_refused_for_ever(void **state)                                                                  \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        refuse(name, #name, true);                                                                                     \
    }
SCENARIO(result, RESULT)
SCENARIO(result_timed, RESULT_TIMED)
SCENARIO(all, ALL)
SCENARIO(all_timed, ALL_TIMED)
SCENARIO(first, FIRST)
SCENARIO(as_completed, AS_COMPLETED)
SCENARIO(map, MAP)

/* How much of the stack must be used so that less is left than a task is run on. */
static size_t surplus_stack(void)
{
    enum { LEFT = 48 * 1024 };
    pthread_attr_t attributes;
    void *bottom;
    size_t size;
    assert_int_equal(pthread_getattr_np(pthread_self(), &attributes), 0);
    assert_int_equal(pthread_attr_getstack(&attributes, &bottom, &size), 0);
    pthread_attr_destroy(&attributes);
    size_t left = (size_t)((char *)__builtin_frame_address(0) - (char *)bottom);
    return left > LEFT ? left - LEFT : 1;
}

/* Too little stack to run the awaited task, and no thread to be had: the waits end, and the task runs when its turn comes. */
static sp_status wait_without_stack(const sp_none *none, sp_status *ret_next)
{
    (void)none;
    volatile char *used = __builtin_alloca(surplus_stack());
    used[0] = 0;
    sp_future *inner = sp_submit(nest, square, 3);
    sp_auto(sp_completion) set = sp_as_completed(&inner, 1, SP_FOREVER);
    sp__fault_arm(2, true); /* the first is asked where the stack ends */
    sp_status status = sp_result(inner, NULL, SP_FOREVER);
    *ret_next = sp_next(set) == NULL ? sp_completion_status(set) : SP_OK;
    sp__fault_disarm();
    sp_future_release(inner);
    return status == SP_OS_ERROR ? SP_OK : SP_RUNTIME_ERROR;
}
SP_TASK(wait_without_stack, sp_none, sp_status);

static void waits_without_stack_and_threads_end(void **state)
{
    (void)state;
    sp_status next = SP_OK;
    nest = sp_thread_pool(.max_workers = 1, .stack_size = 256 * 1024);
    sp_auto(sp_future) outer = sp_submit(nest, wait_without_stack, SP_NONE);
    assert_int_equal(sp_result(outer, &next, SP_FOREVER), SP_OK);
    assert_int_equal(next, SP_MEMORY_ERROR); /* that for the loan itself is refused as well */
    assert_true(sp_executor_wait_idle(nest, SP_FOREVER));
    end_pool(nest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_without_stack_and_threads_end),
        cmocka_unit_test(result_refused_once),
        cmocka_unit_test(result_timed_refused_once),
        cmocka_unit_test(all_refused_once),
        cmocka_unit_test(all_timed_refused_once),
        cmocka_unit_test(first_refused_once),
        cmocka_unit_test(as_completed_refused_once),
        cmocka_unit_test(map_refused_once),
        cmocka_unit_test(result_refused_for_ever),
        cmocka_unit_test(result_timed_refused_for_ever),
        cmocka_unit_test(all_refused_for_ever),
        cmocka_unit_test(all_timed_refused_for_ever),
        cmocka_unit_test(first_refused_for_ever),
        cmocka_unit_test(as_completed_refused_for_ever),
        cmocka_unit_test(map_refused_for_ever),
        cmocka_unit_test(something_was_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
