/* Every call that the system may refuse while a task waits for tasks of its own pool of one worker, refused in turn: once, and
   from then on.  Somebody must stand in for the worker, or it must help itself; nothing may wait for ever.

   SPDX-License-Identifier: MIT */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
