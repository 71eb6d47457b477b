/* Errors that nobody has looked at when the process exits: which are said, in which words, and how often.  Each case is a
   child of its own; it holds its futures until the end.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <errno.h>

#include <spool.h>

static const char *program;

enum { MOST = 12 };
extern sp_future *held[MOST]; /* seen by a leak check */
sp_future *held[MOST];
extern sp_mapping *mapping;
sp_mapping *mapping;
extern sp_executor *pool;
sp_executor *pool;

static sp_status fail_as(const sp_status *status, int *out)
{
    *out = 0;
    return *status == SP_OS_ERROR ? sp_raise_errno_at("here.c", 12, "no disk %d", 7)
                                  : sp_raise_at("here.c", 12, *status, "no disk %d", 7);
}
SP_TASK(fail_as, sp_status, int);

static sp_status fail_bare(const sp_status *status, int *out)
{
    *out = 0;
    return *status;
}
SP_TASK(fail_bare, sp_status, int);

static sp_future *failed(sp_status status)
{
    sp_future *future = sp_submit(pool, fail_as, status);
    must(sp_future_wait(future, SP_FOREVER)); /* waiting is not looking */
    return future;
}

static bool next_status(void *context, void *ret_arg)
{
    (void)context;
    *(sp_status *)ret_arg = SP_TYPE_ERROR;
    return true;
}

/* ---- what is held, and was looked at ---- */

static void hold_seen(void)
{
    int value;
    sp_status status = SP_VALUE_ERROR;
    pool = sp_thread_pool(.max_workers = 2);
    held[0] = failed(SP_VALUE_ERROR);
    must(sp_result(held[0], &value, SP_FOREVER) == SP_VALUE_ERROR);
    held[1] = failed(SP_VALUE_ERROR);
    must(sp_result(held[1], NULL, SP_NOWAIT) == SP_VALUE_ERROR);
    held[2] = failed(SP_VALUE_ERROR);
    must(sp_result_of(fail_as, held[2], &value, SP_FOREVER) == SP_VALUE_ERROR);
    held[3] = failed(SP_VALUE_ERROR);
    must(sp_future_error(held[3]) != NULL);
    must(sp_map(pool, fail_as, &status, &value, 1, .ret_failed = &held[4]) == SP_VALUE_ERROR);
    mapping = sp_map_lazy(pool, fail_as, next_status, NULL, .buffersize = 3);
    must(sp_map_next(mapping, &value, SP_FOREVER) == SP_TYPE_ERROR);
    held[5] = sp_future_new(&fail_as_sp_task, &status);
    must(sp_future_set_error(held[5], &(sp_error){ .status = SP_EMPTY }) == SP_OK);
    must(sp_result(held[5], NULL, SP_NOWAIT) == SP_EMPTY);
    must(sp_shutdown(pool) == SP_OK);
    held[6] = sp_submit(pool, fail_as, SP_VALUE_ERROR);
    must(sp_result(held[6], NULL, SP_NOWAIT) == SP_SHUT_DOWN);
    must(sp_post(pool, fail_as, SP_VALUE_ERROR) == SP_SHUT_DOWN);
}

/* ---- what is held, and is no failure ---- */

static void hold_cancelled(void)
{
    sp_status status = SP_VALUE_ERROR;
    pool = sp_inline_pool(.seed = 1);
    held[0] = sp_submit(pool, fail_as, SP_VALUE_ERROR);
    must(sp_future_cancel(held[0]));
    held[1] = sp_submit(pool, fail_as, SP_CANCELLED);
    must(sp_future_wait(held[1], SP_FOREVER) && sp_future_cancelled(held[1]));
    held[2] = sp_submit(pool, fail_bare, SP_CANCELLED);
    must(sp_future_wait(held[2], SP_FOREVER) && sp_future_cancelled(held[2]));
    held[3] = sp_future_new(&fail_as_sp_task, &status);
    must(sp_future_set_error(held[3], &(sp_error){ .status = SP_CANCELLED, .message = "given up" }) == SP_OK);
    held[4] = sp_submit(pool, fail_bare, SP_OK);
    must(sp_future_wait(held[4], SP_FOREVER));
    held[5] = sp_future_new(&fail_as_sp_task, &status); /* nobody ends it */
    must(sp_post(pool, fail_bare, SP_CANCELLED) == SP_OK);
}

/* ---- what nobody has looked at ---- */

static void hold_unseen(void)
{
    char small;
    double wide;
    pool = sp_thread_pool(.max_workers = 1);
    sp_status empty = SP_EMPTY;
    held[0] = failed(SP_VALUE_ERROR);
    must(sp_future_result(held[0], &small, sizeof small, SP_FOREVER) == SP_TYPE_ERROR); /* this is not looking */
    must(sp_result(held[0], &(int){ 0 }, strtod("nan", NULL)) == SP_VALUE_ERROR);
    held[1] = failed(SP_USER_ERROR + 5);
    const sp_task other = { .struct_size = sizeof other, .name = "other", .result_size = sizeof wide };
    must(sp_future_result_of(held[1], &other, &wide, SP_FOREVER) == SP_TYPE_ERROR);
    must(sp_wait(&held[1], 1, SP_FIRST_ERROR, SP_FOREVER) == SP_OK);
    held[2] = sp_submit(pool, fail_bare, SP_DEADLOCK);
    sp_auto(sp_completion) set = sp_as_completed(&held[2], 1, SP_FOREVER);
    must(sp_next(set) == held[2] && sp_future_done(held[2]));
    must(sp_shutdown(pool) == SP_OK);
    held[3] = sp_submit(pool, fail_as, SP_VALUE_ERROR);
    held[4] = sp_future_new(&fail_as_sp_task, &empty);
    must(sp_future_set_error(held[4], &(sp_error){ .status = SP_EMPTY, .task = "t", .message = "m" }) == SP_OK);
}

static const char hold_unseen_says[] =
    "spool: error never looked at: task fail_as: SP_VALUE_ERROR: no disk 7 (here.c:12)\n"
    "spool: error never looked at: task fail_as: SP_USER_ERROR: no disk 7 (here.c:12)\n"
    "spool: error never looked at: task fail_bare: SP_DEADLOCK: waiting would never end (RuntimeError, deadlock) "
    "(" __FILE__ ":0)\n"
    "spool: error never looked at: task fail_as: SP_SHUT_DOWN: the queue or pool was shut down (queue.ShutDown, "
    "RuntimeError) (" __FILE__ ":0)\n"
    "spool: error never looked at: task t: SP_EMPTY: m (?:0)\n";

/* The last handle goes before the exit, the task of a post ends during it. */
static sp_event gate;

static sp_status fail_late(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&gate, SP_FOREVER);
    return sp_raise_at("late.c", 3, SP_STOP, "late");
}
SP_TASK(fail_late, sp_none, sp_none);

static void let_it_fail(void)
{
    sp_event_set(&gate);
}

static void post_and_release(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    sp_future *future = failed(SP_FULL);
    must(sp_executor_wait_idle(pool, SP_FOREVER));
    sp_future_release(future);
    sp_auto(sp_executor) at_once = sp_inline_pool();
    must(sp_post(at_once, fail_as, SP_EMPTY) == SP_OK); /* it was accepted, and has run */
    must(sp_post(pool, fail_late) == SP_OK);
    must(atexit(let_it_fail) == 0);
}

static const char post_and_release_says[] =
    "spool: error never looked at: task fail_as: SP_FULL: no disk 7 (here.c:12)\n"
    "spool: error never looked at: task fail_as: SP_EMPTY: no disk 7 (here.c:12)\n"
    "spool: error never looked at: task fail_late: SP_STOP: late (late.c:3)\n";

/* ---- released when all was said ---- */

static bool releases_late;

/* Behind the handlers of atexit(). */
__attribute__((destructor)) static void release_late(void)
{
    if (!releases_late)
        return;
    sp_future_release(held[0]);
    fputs("released\n", stderr);
}

static void hold_until_the_very_end(void)
{
    pool = sp_inline_pool();
    held[0] = failed(SP_VALUE_ERROR);
    releases_late = true;
}

static const char hold_until_the_very_end_says[] =
    "spool: error never looked at: task fail_as: SP_VALUE_ERROR: no disk 7 (here.c:12)\nreleased\n";

/* ---- a hook ---- */

static void tell_all(const sp_error *error, void *context)
{
    fprintf(stderr, "%s%d %d %s %s:%d %s\n", (const char *)context, (int)error->status, error->os_errno, error->task,
            error->file, error->line, error->message);
}

static void hold_with_a_hook(void)
{
    sp_set_unseen_error_hook(tell_all, "once ");
    sp_set_unseen_error_hook(tell_all, "hook: "); /* the last one counts */
    pool = sp_inline_pool();
    errno = ENOENT;
    held[0] = sp_submit(pool, fail_as, SP_OS_ERROR);
    sp_future_release(sp_submit(pool, fail_as, SP_FULL));
}

static const char hold_with_a_hook_says[] =
    "hook: 5 0 fail_as here.c:12 no disk 7\nhook: 13 2 fail_as here.c:12 no disk 7: No such file or directory\n";

static void hook_taken_back(void)
{
    sp_set_unseen_error_hook(tell_all, "hook: ");
    sp_set_unseen_error_hook(NULL, NULL);
    post_and_release();
}

/* A long message is said whole. */
static sp_status fail_at_length(const int *length, sp_none *out)
{
    (void)out;
    return sp_raise_at("long.c", 1, SP_FULL, "%*d", *length, 7);
}
SP_TASK(fail_at_length, int, sp_none);

static void hold_a_long_one(void)
{
    pool = sp_inline_pool();
    held[0] = sp_submit(pool, fail_at_length, 5000);
}

static const struct child_case cases[] = {
    { "seen", hold_seen },
    { "cancelled", hold_cancelled },
    { "unseen", hold_unseen },
    { "posted", post_and_release },
    { "late", hold_until_the_very_end },
    { "hook", hold_with_a_hook },
    { "hook taken back", hook_taken_back },
    { "long", hold_a_long_one },
};

static void held_errors_that_were_seen_are_not_said_at_exit(void **state)
{
    (void)state;
    child_says(program, "seen", "");
}

static void cancelled_is_not_said_at_exit(void **state)
{
    (void)state;
    child_says(program, "cancelled", "");
}

static void held_errors_that_nobody_saw_are_said_once_the_oldest_first(void **state)
{
    (void)state;
    child_says(program, "unseen", hold_unseen_says);
}

static void a_post_that_fails_is_said_also_during_the_exit(void **state)
{
    (void)state;
    child_says(program, "posted", post_and_release_says);
}

static void what_was_said_at_exit_is_not_said_again_at_the_last_release(void **state)
{
    (void)state;
    child_says(program, "late", hold_until_the_very_end_says);
}

static void the_hook_gets_the_whole_record(void **state)
{
    (void)state;
    child_says(program, "hook", hold_with_a_hook_says);
    child_says(program, "hook taken back", post_and_release_says);
}

static void a_long_message_is_said_whole(void **state)
{
    (void)state;
    struct child_end end = child_run_well(program, "long");
    static const char begin[] = "spool: error never looked at: task fail_at_length: SP_FULL: ",
                      rest[] = "7 (long.c:1)\n";
    assert_int_equal(end.length, strlen(begin) + 4999 + strlen(rest));
    assert_int_equal(strncmp(end.said, begin, strlen(begin)), 0);
    assert_string_equal(end.said + strlen(begin) + 4999, rest);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_errors_that_were_seen_are_not_said_at_exit),
        cmocka_unit_test(cancelled_is_not_said_at_exit),
        cmocka_unit_test(held_errors_that_nobody_saw_are_said_once_the_oldest_first),
        cmocka_unit_test(a_post_that_fails_is_said_also_during_the_exit),
        cmocka_unit_test(what_was_said_at_exit_is_not_said_again_at_the_last_release),
        cmocka_unit_test(the_hook_gets_the_whole_record),
        cmocka_unit_test(a_long_message_is_said_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
