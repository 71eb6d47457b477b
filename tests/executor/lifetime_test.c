/* A task releases the last handle of its executor while the call by which the handle was used is on its way back.  For the
   address sanitizer.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "base/atomic.h"
#include "executor/pool.h"

static int nothing(int x)
{
    return x;
}
SP_FUNCTION(nothing, int, int);

typedef sp_executor *handle;
static uint32_t released; /* atomic */

static sp_status release(sp_executor *const *executor, sp_none *out)
{
    (void)out;
    sp_executor_release(*executor);
    sp__add_seq_cst(&released, 1);
    return SP_OK;
}
SP_TASK(release, handle, sp_none);

/* When the executor is closed: its handle is in use by sp_shutdown(). */
static sp_status release_when_closed(sp_executor *const *executor, sp_none *out)
{
    while (sp_post(*executor, nothing, 0) != SP_SHUT_DOWN)
        sp__cpu_relax();
    return release(executor, out);
}
SP_TASK(release_when_closed, handle, sp_none);

/* When sp_executor_wait_idle() waits. */
static sp_status release_when_awaited(sp_executor *const *executor, sp_none *out)
{
    while (sp__load_acquire(&sp__pool_of(*executor)->for_quiet) == 0)
        sp__cpu_relax();
    return release(executor, out);
}
SP_TASK(release_when_awaited, handle, sp_none);

/* ---- the calls; each has one handle, which a task releases ---- */

static void by_post(sp_executor *executor)
{
    assert_int_equal(sp_post(executor, release, executor), SP_OK);
}

static void by_submit(sp_executor *executor)
{
    sp_auto(sp_future) future = sp_submit(executor, release, executor);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
}

static void by_submit_to_busy_workers(sp_executor *executor)
{
    for (int i = 0; i < 20; i++)
        assert_int_equal(sp_post(executor, nothing, i), SP_OK);
    by_post(executor);
}

static void by_map(sp_executor *executor)
{
    handle inputs[1] = { executor };
    assert_int_equal(sp_map(executor, release, inputs, NULL, 1), SP_OK);
}

static void by_shutdown(sp_executor *executor)
{
    assert_int_equal(sp_post(executor, release_when_closed, executor), SP_OK);
    assert_int_equal(sp_shutdown(executor), SP_OK);
}

static void by_wait_idle(sp_executor *executor)
{
    assert_int_equal(sp_post(executor, release_when_awaited, executor), SP_OK);
    assert_true(sp_executor_wait_idle(executor, SP_FOREVER));
}

/* What waits and drives: the handle is the caller's. */
static void by_waiting(sp_executor *executor)
{
    sp_future *futures[2] = { sp_submit(executor, nothing, 1), sp_submit(executor, release, executor) };
    assert_int_equal(sp_wait(futures, 2, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    sp_release_all(futures, 2);
}

enum { ONE_WORKER, WORKERS, BOUNDED, INLINE, SEEDED, KINDS };

static sp_executor *make(int kind)
{
    switch (kind) {
    case ONE_WORKER:
        return sp_thread_pool(.max_workers = 1);
    case WORKERS:
        return sp_thread_pool(.max_workers = 3);
    case BOUNDED:
        return sp_thread_pool(.max_workers = 2, .max_pending = 1);
    case INLINE:
        return sp_inline_pool();
    default:
        return sp_inline_pool(.seed = 5);
    }
}

static const struct {
    void (*call)(sp_executor *executor);
    int last_kind; /* that it makes sense for, before the others */
    bool waits;    /* else what a seeded pool was given runs at the exit of the process */
} calls[] = { { by_post, SEEDED, false },  { by_submit, SEEDED, true },    { by_submit_to_busy_workers, SEEDED, false },
              { by_map, SEEDED, true },    { by_shutdown, BOUNDED, true }, { by_wait_idle, BOUNDED, true },
              { by_waiting, SEEDED, true } };

static void a_task_may_release_the_handle_by_which_a_call_was_made(void **state)
{
    (void)state;
    for (long round = test_count(100); round > 0; round--)
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
            for (int kind = 0; kind <= calls[i].last_kind; kind++) {
                sp__store_seq_cst(&released, 0);
                calls[i].call(make(kind));
                if (kind == SEEDED && !calls[i].waits)
                    assert_true(sp_join_all(SP_FOREVER));
                test_await(sp__load_seq_cst(&released) == 1);
            }
    assert_true(sp_join_all(SP_FOREVER));
}

/* ---- what sp_map_next() runs releases the mapping ---- */

static struct {
    sp_mapping *mapping;
    int pulled, from; /* the input that releases it: the number `from`, or, at -1, the task of the first one */
} source;

static void release_mapping(void)
{
    sp_mapping_release(source.mapping);
    source.mapping = NULL;
}

static bool next_number(void *context, void *ret_arg)
{
    (void)context;
    *(int *)ret_arg = source.pulled++;
    if (source.pulled == source.from)
        release_mapping();
    return source.pulled < 10;
}

static sp_status release_first(const int *in, int *out)
{
    if (source.from == -1 && *in == 0)
        release_mapping();
    *out = *in;
    return SP_OK;
}
SP_TASK(release_first, int, int);

static void what_sp_map_next_runs_may_release_the_mapping(void **state)
{
    static const int from[] = { 1, 2, 4, 10, -1 };
    (void)state;
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
            if (from[i] == -1 && kind < INLINE)
                continue; /* the tasks run in other threads, and one thread has the mapping */
            sp_executor *executor = make(kind);
            sp_mapping *mapping = sp_map_lazy(executor, release_first, next_number, NULL, .buffersize = 4);
            source.mapping = mapping;
            source.pulled = 0;
            source.from = from[i];
            sp_status status = SP_OK;
            while (source.mapping != NULL && status == SP_OK)
                status = sp_map_next(mapping, NULL, SP_FOREVER);
            assert_null(source.mapping);
            if (from[i] != -1)
                assert_int_equal(source.pulled, from[i]);
            assert_int_equal(status, SP_STOP);
            assert_int_equal(sp_shutdown(executor), SP_OK);
            sp_executor_release(executor);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_may_release_the_handle_by_which_a_call_was_made),
        cmocka_unit_test(what_sp_map_next_runs_may_release_the_mapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
