/* A map that fails has told of it by its status: no error of it is said besides.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "base/atomic.h"
#include "future/future.h"
#include "os/fault.h"

static uint32_t unseen;       /* atomic */
static char unseen_text[128]; /* of the first */

static void note_unseen(const sp_error *error, void *context)
{
    (void)context;
    if (sp__add_seq_cst(&unseen, 1) == 0)
        snprintf(unseen_text, sizeof unseen_text, "%s: %s: %s", error->task, sp_status_name(error->status),
                 error->message);
}

static int listen(void **state)
{
    (void)state;
    sp__store_seq_cst(&unseen, 0);
    sp_set_unseen_error_hook(note_unseen, NULL);
    return 0;
}

static int stop_listening(void **state)
{
    (void)state;
    sp_set_unseen_error_hook(NULL, NULL);
    return 0;
}

static void assert_nothing_was_said(void)
{
    if (sp__load_seq_cst(&unseen) != 0)
        fail_msg("an error was said: %s", unseen_text);
}

/* ---- several inputs that fail at a time ---- */

enum { TOGETHER = 3, INPUTS = 12 };
static uint32_t failing; /* atomic; how many are about to fail */

static sp_status fail_together(const int *in, int *out)
{
    *out = 0;
    sp__add_seq_cst(&failing, 1);
    test_await(sp__load_seq_cst(&failing) >= TOGETHER);
    return sp_raise(SP_USER_ERROR + *in, "input %d", *in);
}
SP_TASK(fail_together, int, int);

static void map_and_fail(sp_executor *pool, size_t chunksize, bool wants_failed)
{
    int inputs[INPUTS], outputs[INPUTS];
    sp_future *failed = NULL;
    for (int i = 0; i < INPUTS; i++)
        inputs[i] = i;
    sp__store_seq_cst(&failing, 0);
    assert_int_equal(sp_map(pool, fail_together, inputs, outputs, INPUTS, .chunksize = chunksize,
                            .ret_failed = wants_failed ? &failed : NULL),
                     SP_USER_ERROR);
    assert_int_equal(failed != NULL, wants_failed);
    sp_future_release(failed); /* nobody has looked at it */
}

static void inputs_that_fail_together_are_told_by_the_status_alone(void **state)
{
    (void)state;
    for (size_t chunksize = 1; chunksize <= 4; chunksize++) {
        sp_executor *pool = sp_thread_pool(.max_workers = TOGETHER);
        map_and_fail(pool, chunksize, false);
        map_and_fail(pool, chunksize, true);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
        assert_nothing_was_said();
    }
}

static sp_status map_inside(sp_executor *const *pool, sp_none *out)
{
    (void)out;
    map_and_fail(*pool, 2, false);
    map_and_fail(*pool, 1, true);
    return SP_OK;
}
typedef sp_executor *pool_pointer;
SP_TASK(map_inside, pool_pointer, sp_none);

static void the_same_in_a_task_of_the_pool(void **state)
{
    (void)state;
    sp_executor *pool = sp_thread_pool(.max_workers = TOGETHER);
    sp_auto(sp_future) outer = sp_submit(pool, map_inside, pool);
    assert_int_equal(sp_result(outer, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    assert_nothing_was_said();
}

/* ---- a lazy map: what is on its way when the first fails ---- */

static bool next_input(void *context, void *ret_arg)
{
    int *next = context;
    *(int *)ret_arg = (*next)++;
    return true;
}

static void what_follows_a_failure_of_a_lazy_map_is_not_said(void **state)
{
    (void)state;
    for (int held = 0; held < 2; held++) {
        int next = 0, value;
        sp_executor *pool = sp_thread_pool(.max_workers = TOGETHER);
        sp__store_seq_cst(&failing, 0);
        sp_mapping *mapping = sp_map_lazy(pool, fail_together, next_input, &next, .buffersize = 6);
        assert_int_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_USER_ERROR);
        if (held)
            assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_mapping_release(mapping);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
        assert_nothing_was_said();
    }
}

/* Released before it has told: these errors nobody has seen. */
static void errors_of_a_lazy_map_that_is_given_up_are_said(void **state)
{
    (void)state;
    int next = 0, value;
    sp_executor *pool = sp_thread_pool(.max_workers = TOGETHER);
    sp__store_seq_cst(&failing, 0);
    sp_mapping *mapping = sp_map_lazy(pool, fail_together, next_input, &next, .buffersize = TOGETHER);
    sp_status status = sp_map_next(mapping, &value, SP_NOWAIT); /* pulls all three */
    assert_true(status == SP_TIMEOUT || status == SP_USER_ERROR);
    test_await(sp__load_seq_cst(&failing) == TOGETHER);
    sp_mapping_release(mapping);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    assert_int_equal(sp__load_seq_cst(&unseen), status == SP_TIMEOUT ? TOGETHER : 0);
}

/* ---- a map whose wait is refused: a task of it runs on, and fails later ---- */

static struct {
    sp_executor *pool;
    sp_future *mapping;
    sp_event has_mapping;
    sp_status member_told, map_told;
    uint32_t dropped, strange; /* atomic; arguments, and how many of them were no input */
} cycle;

static void drop_input(void *arg)
{
    const int input = *(const int *)arg;
    sp__add_seq_cst(&cycle.dropped, 1);
    sp__add_seq_cst(&cycle.strange, input < 0 || input > 2);
}

static bool somebody_waits_for(const sp_future *future)
{
    return sp__load_relaxed(&future->word) & SP__FUTURE_PARKED; /* relaxed: it is only looked at */
}

/* The first two are run by the task that maps; the third waits for that task, and is awaited by it; the fourth is left. */
static sp_status member(const int *in, int *out)
{
    *out = 0;
    sp_event_wait(&cycle.has_mapping, SP_FOREVER);
    if (*in == 0) {
        test_await(somebody_waits_for(cycle.mapping));
        return SP_OK;
    }
    cycle.member_told = sp_result(cycle.mapping, NULL, SP_FOREVER);
    return sp_raise(SP_VALUE_ERROR, "too late");
}
SP_TASK_OWNING(member, int, int, drop_input, NULL);

enum { MEMBERS = 4 };

static sp_status map_members(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    volatile int inputs[MEMBERS] = { 0, 0, 1, 2 };
    int outputs[MEMBERS];
    cycle.map_told = sp_map(cycle.pool, member, (const int *)inputs, outputs, MEMBERS, .chunksize = 2);
    for (int i = 0; i < MEMBERS; i++)
        inputs[i] = -1; /* they are gone */
    return SP_OK;
}
SP_TASK(map_members, sp_none, sp_none);

static void what_runs_on_behind_a_refused_map_is_not_said(void **state)
{
    (void)state;
    int refused = 0;
    for (long round = 0; round < 20; round++) {
        sp_event_clear(&cycle.has_mapping);
        cycle.dropped = cycle.strange = 0;
        cycle.pool = sp_thread_pool(.max_workers = 2);
        cycle.mapping = sp_submit(cycle.pool, map_members);
        sp_event_set(&cycle.has_mapping);
        test_await(sp_future_done(cycle.mapping)); /* the member alone waits for it */
        assert_int_equal(sp_result(cycle.mapping, NULL, SP_NOWAIT), SP_OK);
        assert_int_equal(sp_shutdown(cycle.pool), SP_OK);                             /* the member has ended, too */
        assert_true((cycle.map_told == SP_DEADLOCK) == (cycle.member_told == SP_OK)); /* one of the two is told */
        refused += cycle.map_told == SP_DEADLOCK;
        sp_future_release(cycle.mapping);
        sp_executor_release(cycle.pool);
        assert_nothing_was_said();
        assert_int_equal(sp__load_seq_cst(&cycle.dropped), MEMBERS);
        assert_int_equal(sp__load_seq_cst(&cycle.strange), 0);
    }
    assert_true(refused > 0);
}

/* ---- without memory ---- */

static sp_status refuse_second(const int *in, int *out)
{
    *out = *in;
    return *in == 1 ? sp_raise(SP_USER_ERROR, "the second") : SP_OK;
}
SP_TASK(refuse_second, int, int);

/* The task has failed, or there was no memory: the call and the future say the same. */
static void the_status_of_a_map_is_that_of_its_future(void **state)
{
    (void)state;
    const int inputs[] = { 0, 1, 2 };
    int outputs[3], without_memory = 0;
    sp_executor *pool = sp_inline_pool();
    for (uint64_t call = 1, refused = 1; refused > 0; call++) {
        sp_future *failed = NULL;
        sp__fault_arm(call, false);
        sp_status status = sp_map(pool, refuse_second, inputs, outputs, 3, .ret_failed = &failed);
        refused = sp__fault_disarm();
        assert_true(status == SP_USER_ERROR || (status == SP_MEMORY_ERROR && refused > 0));
        assert_non_null(failed);
        assert_int_equal(sp_result(failed, NULL, SP_NOWAIT), status);
        sp_future_release(failed);
        without_memory += status == SP_MEMORY_ERROR;
    }
    assert_true(without_memory > 2);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static void a_map_of_nothing_needs_no_memory(void **state)
{
    (void)state;
    int nothing = 0;
    sp_executor *pool = sp_inline_pool();
    sp__fault_arm(1, true);
    sp_status status = sp_map(pool, refuse_second, &nothing, &nothing, 0);
    sp__fault_disarm();
    assert_int_equal(status, SP_OK);
    sp_executor_release(pool);
}

static sp_status run_without_values(const void *arg, void *result)
{
    (void)arg, (void)result;
    return SP_OK;
}

/* Inputs without a size need no memory, but what is noted of each does. */
static void more_inputs_than_can_be_counted_are_refused(void **state)
{
    (void)state;
    static const sp_task sizeless = { .struct_size = sizeof sizeless, .name = "sizeless", .run = run_without_values };
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_map_options one_each = { .struct_size = sizeof one_each, .chunksize = 1 };
    size_t n = SIZE_MAX / sizeof(sp_future *) + 2;
    assert_int_equal(sp_executor_map(pool, &sizeless, "", NULL, n, &one_each), SP_MEMORY_ERROR);
}

int main(void)
{
#define ERROR_TEST(test) cmocka_unit_test_setup_teardown(test, listen, stop_listening)
    const struct CMUnitTest tests[] = {
        ERROR_TEST(inputs_that_fail_together_are_told_by_the_status_alone),
        ERROR_TEST(the_same_in_a_task_of_the_pool),
        ERROR_TEST(what_follows_a_failure_of_a_lazy_map_is_not_said),
        ERROR_TEST(errors_of_a_lazy_map_that_is_given_up_are_said),
        ERROR_TEST(what_runs_on_behind_a_refused_map_is_not_said),
        ERROR_TEST(the_status_of_a_map_is_that_of_its_future),
        ERROR_TEST(a_map_of_nothing_needs_no_memory),
        cmocka_unit_test(more_inputs_than_can_be_counted_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
