/* Errors of threads that nobody has looked at: which are said, and in which words.  Each case is a child of its own.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <spool.h>

static const char *program;

enum { MOST = 8 };
extern sp_thread *held[MOST]; /* until the exit; seen by a leak check */
sp_thread *held[MOST];
extern sp_timer *timer;
sp_timer *timer;
static sp_event gate;

static sp_status fail_as(const sp_status *status, int *out)
{
    *out = 0;
    sp_event_wait(&gate, SP_FOREVER);
    return sp_raise_at("here.c", 12, *status, "no disk");
}
SP_TASK(fail_as, sp_status, int);

static sp_status fail_bare(const sp_status *status, int *out)
{
    *out = 0;
    sp_event_wait(&gate, SP_FOREVER);
    return *status;
}
SP_TASK(fail_bare, sp_status, int);

/* ---- cancelled is no error ---- */

static void end_cancelled(void)
{
    held[0] = sp_start(fail_as, SP_CANCELLED);
    held[1] = sp_start(fail_bare, SP_CANCELLED);
    sp_thread *released = sp_start(fail_as, SP_CANCELLED);
    sp_thread_release(sp_start(fail_bare, SP_CANCELLED)); /* before it ends */
    timer = sp_timer_start(0, fail_as, SP_CANCELLED);
    sp_event_set(&gate);
    must(sp_thread_wait(released, SP_FOREVER) == SP_OK);
    sp_thread_release(released); /* after its end */
    must(sp_timer_join(timer, SP_FOREVER) == SP_CANCELLED);
    must(sp_join(held[0], NULL, SP_FOREVER) == SP_CANCELLED);
    must(strcmp(sp_thread_error(held[0])->message, "no disk") == 0);
    must(sp_thread_wait(held[1], SP_FOREVER) == SP_OK); /* nobody looks */
}

/* ---- seen, and held until the exit ---- */

static void hold_seen(void)
{
    sp_event_set(&gate);
    for (int i = 0; i < 3; i++)
        held[i] = sp_start(fail_as, SP_VALUE_ERROR);
    must(sp_join(held[0], NULL, SP_FOREVER) == SP_VALUE_ERROR);
    must(sp_join(held[1], &(int){ 0 }, SP_FOREVER) == SP_VALUE_ERROR);
    must(sp_thread_wait(held[2], SP_FOREVER) == SP_OK && sp_thread_error(held[2]) != NULL);
    timer = sp_timer_start(0, fail_as, SP_VALUE_ERROR);
    must(sp_timer_join(timer, SP_FOREVER) == SP_VALUE_ERROR);
}

/* ---- not seen ---- */

/* One after the other, so that the order is known. */
static sp_thread *start_named(const char *name, sp_status status)
{
    sp_thread *thread = sp_start_with(SP_THREAD(.name = name), fail_as, status);
    must(sp_thread_wait(thread, SP_FOREVER) == SP_OK); /* this is not looking */
    return thread;
}

static void hold_unseen(void)
{
    char small;
    held[0] = sp_start_with(SP_THREAD(.name = "poll"), fail_as, SP_VALUE_ERROR);
    must(sp_thread_set_name(held[0], "poll 2") == SP_OK); /* while it runs */
    sp_event_set(&gate);
    must(sp_thread_wait(held[0], SP_FOREVER) == SP_OK);
    held[1] = start_named("named", SP_USER_ERROR + 3);
    must(sp_thread_set_name(held[1], "renamed") == SP_OK); /* when it has ended */
    must(sp_thread_join(held[1], &small, sizeof small, SP_FOREVER) == SP_TYPE_ERROR);
    must(sp_thread_join(held[1], NULL, 0, strtod("nan", NULL)) == SP_VALUE_ERROR);
    held[2] = start_named(NULL, SP_FULL);
    held[3] = sp_start(fail_bare, SP_EMPTY);
}

static const char hold_unseen_says[] =
    "Exception in thread poll 2: task fail_as: SP_VALUE_ERROR: no disk (here.c:12)\n"
    "Exception in thread renamed: task fail_as: SP_USER_ERROR: no disk (here.c:12)\n"
    "Exception in thread Thread-1 (fail_as): task fail_as: SP_FULL: no disk (here.c:12)\n"
    "Exception in thread Thread-2 (fail_bare): task fail_bare: SP_EMPTY: no item arrived in time (queue.Empty) "
    "(" __FILE__ ":0)\n";

static void release_unseen(void)
{
    sp_event_set(&gate);
    sp_thread *thread = start_named("first", SP_FULL);
    sp_thread_release(sp_thread_retain(thread));
    fputs("released\n", stderr);
    sp_thread_release(thread);
    timer = sp_timer_start(0, fail_as, SP_STOP);
    must(sp_join_all(SP_FOREVER));
    sp_timer_release(timer);
}

static const char release_unseen_says[] =
    "released\nException in thread first: task fail_as: SP_FULL: no disk (here.c:12)\n"
    "Exception in thread Timer-1 (fail_as): task fail_as: SP_STOP: no disk (here.c:12)\n";

static sp_status rename_itself_and_fail(const char *const *name, sp_none *out)
{
    (void)out;
    must(sp_thread_set_name(sp_thread_current(), *name) == SP_OK);
    return sp_raise_at("here.c", 12, SP_FULL, "no disk");
}
typedef const char *text;
SP_TASK(rename_itself_and_fail, text, sp_none);

static char long_name[2001];

static void fail_with_a_long_name(void)
{
    memset(long_name, 'n', sizeof long_name - 1);
    sp_thread_release(sp_start(rename_itself_and_fail, long_name));
}

/* ---- the hook ---- */

static void tell(sp_thread *thread, const sp_error *error, void *context)
{
    fprintf(stderr, "%s%s: %d %s\n", (const char *)context, sp_thread_name(thread), (int)error->status, error->message);
}

static void fail_with_a_hook(void)
{
    sp_event_set(&gate);
    sp_set_excepthook(tell, "once ");
    sp_set_excepthook(tell, "hook "); /* the last one counts */
    held[0] = start_named("held", SP_EMPTY);
    sp_thread *thread = start_named("gone", SP_FULL);
    must(sp_thread_set_name(thread, "gone away") == SP_OK);
    sp_thread_release(thread);
    must(sp_thread_set_name(held[0], "held on") == SP_OK);
}

static void fail_without_the_hook(void)
{
    sp_set_excepthook(tell, "hook ");
    sp_set_excepthook(NULL, NULL);
    release_unseen();
}

static const struct child_case cases[] = {
    { "cancelled", end_cancelled },
    { "seen", hold_seen },
    { "held", hold_unseen },
    { "released", release_unseen },
    { "long", fail_with_a_long_name },
    { "hook", fail_with_a_hook },
    { "hook taken back", fail_without_the_hook },
};

static void a_thread_that_ends_as_cancelled_is_not_told(void **state)
{
    (void)state;
    child_says(program, "cancelled", "");
}

static void a_held_thread_whose_error_was_seen_is_not_told_at_exit(void **state)
{
    (void)state;
    child_says(program, "seen", "");
}

static void a_held_thread_is_told_at_exit_by_its_last_name(void **state)
{
    (void)state;
    child_says(program, "held", hold_unseen_says);
}

static void a_released_thread_is_told_with_its_last_handle(void **state)
{
    (void)state;
    child_says(program, "released", release_unseen_says);
}

static void a_long_name_is_told_whole(void **state)
{
    (void)state;
    struct child_end end = child_run_well(program, "long");
    static const char begin[] = "Exception in thread ",
                      rest[] = ": task rename_itself_and_fail: SP_FULL: no disk (here.c:12)\n";
    size_t length = sizeof long_name - 1;
    assert_int_equal(end.length, strlen(begin) + length + strlen(rest));
    assert_int_equal(strspn(end.said + strlen(begin), "n"), length);
    assert_string_equal(end.said + strlen(begin) + length, rest);
}

static void the_last_hook_is_told_with_its_context(void **state)
{
    (void)state;
    child_says(program, "hook", "hook gone away: 5 no disk\nhook held on: 4 no disk\n");
    child_says(program, "hook taken back", release_unseen_says);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_ends_as_cancelled_is_not_told),
        cmocka_unit_test(a_held_thread_whose_error_was_seen_is_not_told_at_exit),
        cmocka_unit_test(a_held_thread_is_told_at_exit_by_its_last_name),
        cmocka_unit_test(a_released_thread_is_told_with_its_last_handle),
        cmocka_unit_test(a_long_name_is_told_whole),
        cmocka_unit_test(the_last_hook_is_told_with_its_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
