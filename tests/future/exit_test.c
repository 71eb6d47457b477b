/* A task that calls exit(): whoever waits for it is told, and nobody else hears of a failure.  Each case is a process.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <spool.h>

#include "base/atomic.h"

static const char *program;
static sp_event known, never;
static sp_executor *pool;

static sp_status exit_at_once(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&known, SP_FOREVER);
    exit(0);
}
SP_TASK(exit_at_once, sp_none, sp_none);

static void say(sp_future *future, void *context)
{
    (void)context;
    fprintf(stderr, "%s\n", sp_status_name(sp_result(future, NULL, SP_NOWAIT)));
}

static void stay(void)
{
    sp_event_wait(&never, SP_FOREVER);
}

static void callback(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    sp_future_add_done_callback(sp_submit(pool, exit_at_once), say, NULL);
    sp_event_set(&known);
    stay();
}

/* Its handle is held, and nobody has asked how it ended. */
static void held(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    (void)sp_submit(pool, exit_at_once);
    sp_event_set(&known);
    stay();
}

/* The last to be called at exit: the one that waits has been told by then, or will never be. */
static sp_future *awaited;

static void look_at_future(void)
{
    const sp_error *error = sp_future_error(awaited);
    fprintf(stderr, "%s\n", error != NULL ? sp_status_name(error->status) : "not done");
}

static void waiter(void)
{
    if (atexit(look_at_future) != 0)
        _exit(97);
    pool = sp_thread_pool(.max_workers = 1);
    awaited = sp_submit(pool, exit_at_once);
    sp_event_set(&known);
    (void)!sp_result(awaited, NULL, SP_FOREVER);
    stay();
}

static const struct child_case cases[] = { { "callback", callback }, { "held", held }, { "waiter", waiter } };

static void a_task_that_calls_exit_has_failed(void **state)
{
    (void)state;
    child_says(program, "callback", "SP_RUNTIME_ERROR\n");
    child_says(program, "waiter", "SP_RUNTIME_ERROR\n");
}

static void its_failure_is_not_reported(void **state)
{
    (void)state;
    child_says(program, "held", "");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_that_calls_exit_has_failed),
        cmocka_unit_test(its_failure_is_not_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
