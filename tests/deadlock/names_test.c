/* By which names a report calls those who wait: threads by their last one, tasks by theirs.  Each case is a child that aborts.

   SPDX-License-Identifier: MIT */
#include "child.h"
#include "deadlock/arrive.h"

#include <spool.h>

static const char *program;
static sp_lock lock, other;
static sp_once once;
static sp_event go, gate;

/* ---- the cases ---- */

enum { LONG = 3000 };
static char long_name[LONG + 1];

static sp_status take_both(const int *in, sp_none *out)
{
    (void)out;
    sp_lock *mine = *in == 0 ? &lock : &other, *its = *in == 0 ? &other : &lock;
    if (*in == 1)
        must(sp_thread_set_name(sp_thread_current(), long_name) == SP_OK);
    sp_lock_acquire(mine);
    arrive();
    sp_event_wait(&go, SP_FOREVER);
    sp_lock_acquire(its);
    return SP_OK;
}
SP_TASK(take_both, int, sp_none);

static void renamed_threads(void)
{
    memset(long_name, 'n', LONG);
    sp_thread *left = sp_start_with(SP_THREAD(.name = "left"), take_both, 0);
    sp_thread_release(sp_start_with(SP_THREAD(.name = "right"), take_both, 1));
    sp_semaphore_acquire(&arrived);
    sp_semaphore_acquire(&arrived);
    must(sp_thread_set_name(left, "west") == SP_OK);
    sp_event_set(&go);
    sp_event_wait(&gate, SP_FOREVER);
}

static void main_alone(void)
{
    sp_lock_acquire(&lock);
    sp_lock_acquire(&lock);
}

static void *take_twice(void *arg)
{
    if (arg != NULL)
        must(sp_thread_set_name(sp_thread_current(), arg) == SP_OK);
    sp_lock_acquire(&lock);
    sp_lock_acquire(&lock);
    return NULL;
}

static void foreign_thread(void)
{
    test_join(test_thread(take_twice, NULL));
}

static char poller[] = "poller";

static void foreign_thread_with_a_name(void)
{
    test_join(test_thread(take_twice, poller));
}

static void *take_a_handle_and_twice(void *arg)
{
    must(sp_thread_current() != NULL);
    return take_twice(arg);
}

static void foreign_thread_with_a_handle(void)
{
    test_join(test_thread(take_a_handle_and_twice, NULL));
}

static void call_again(void *context)
{
    sp_once_call(&once, call_again, context);
}

static void once_by_another_name(void)
{
    must(sp_thread_set_name(sp_thread_main(), "chief") == SP_OK);
    sp_once_call(&once, call_again, NULL);
}

/* ---- a task that a waiting one runs on its stack ---- */

typedef sp_executor *pool_pointer;

static sp_status want_lock(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&lock);
    return SP_OK;
}
SP_TASK(want_lock, sp_none, sp_none);

static sp_status hold_lock_and_wait(const pool_pointer *pool, sp_none *out)
{
    (void)out;
    sp_lock_acquire(&lock);
    sp_auto(sp_future) inner = sp_submit(*pool, want_lock);
    return sp_result(inner, NULL, SP_FOREVER);
}
SP_TASK(hold_lock_and_wait, pool_pointer, sp_none);

static void task_in_a_task(void)
{
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, hold_lock_and_wait, pool);
    (void)sp_future_wait(future, SP_FOREVER);
}

/* ---- an owner that has ended ---- */

static sp_status end_holding(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&lock);
    return SP_OK;
}
SP_TASK(end_holding, sp_none, sp_none);

static void wait_for_one_that_has_ended(void)
{
    sp_thread *thread = sp_start_with(SP_THREAD(.name = "gone"), end_holding);
    must(sp_join(thread, NULL, SP_FOREVER) == SP_OK);
    must(sp_thread_set_name(sp_thread_main(), "chief") == SP_OK);
    fprintf(stderr, "%d %d\n", (int)sp_thread_ident(sp_thread_main()), (int)sp_thread_ident(thread));
    sp_lock_acquire(&lock);
}

static const struct child_case cases[] = {
    { "renamed", renamed_threads },
    { "main", main_alone },
    { "foreign", foreign_thread },
    { "foreign, named", foreign_thread_with_a_name },
    { "foreign, handle", foreign_thread_with_a_handle },
    { "once", once_by_another_name },
    { "task", task_in_a_task },
    { "ended", wait_for_one_that_has_ended },
};

/* ---- the tests ---- */

static void threads_are_called_by_their_last_names(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "renamed", NULL);
    child_aborted(&end, "spool: deadlock: a cycle of 2: ");
    child_aborted(&end, "west (id ");
    child_aborted(&end, ", held by west (id ");
    assert_true(strstr(end.said, "left") == NULL && strstr(end.said, "right") == NULL);
    const char *name = strstr(end.said, "nn"), *owner = strstr(end.said, ", held by nn");
    assert_true(name != NULL && owner != NULL);
    assert_int_equal(strspn(name, "n"), LONG); /* whole */
    assert_int_equal(strspn(owner + strlen(", held by "), "n"), LONG);
}

/* That is the rest of what it said, but for the emulator's word on the abort. */
static void assert_rest(const char *said, const char *expected)
{
    assert_int_equal(strncmp(said, expected, strlen(expected)), 0);
    assert_true(said[strlen(expected)] == '\0' || test_is_emulated());
}

static void says_its_own(const char *name, const char *who, const char *what)
{
    char begin[64], id[32], at[32];
    struct child_end end = child_run(program, name, NULL);
    snprintf(begin, sizeof begin, "spool: deadlock: %s (id ", who);
    child_aborted(&end, begin);
    assert_int_equal(strncmp(end.said, begin, strlen(begin)), 0);
    int length = 0;
    assert_int_equal(
        sscanf(end.said + strlen(begin), "%31[0-9]) waits for the lock at %31[0-9a-fx]%n", id, at, &length), 2);
    assert_rest(end.said + strlen(begin) + length, what);
}

static void a_thread_that_waits_for_itself_is_called_by_its_name(void **state)
{
    (void)state;
    static const char own[] = ", which it holds itself\n";
    says_its_own("main", "MainThread", own);
    says_its_own("foreign", "foreign thread", own);
    says_its_own("foreign, named", "poller", own);
    says_its_own("foreign, handle", "Dummy-1", own);
}

static void a_once_inside_itself_names_the_thread(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "once", NULL);
    child_aborted(&end, "spool: deadlock: chief calls the once at ");
    child_aborted(&end, " from inside its own function\n");
}

static void a_task_that_a_waiting_one_runs_is_called_by_its_own_name(void **state)
{
    (void)state;
    says_its_own("task", "want_lock", ", which it holds itself\n");
}

static void an_owner_that_has_ended_is_called_by_its_number(void **state)
{
    (void)state;
    int waiter, gone, length = 0;
    char expected[128];
    struct child_end end = child_run(program, "ended", NULL);
    child_aborted(&end, "");
    assert_int_equal(sscanf(end.said, "%d %d\n%n", &waiter, &gone, &length), 2);
    snprintf(expected, sizeof expected, "spool: deadlock: chief (id %d) waits for the lock at 0x", waiter);
    assert_int_equal(strncmp(end.said + length, expected, strlen(expected)), 0);
    snprintf(expected, sizeof expected, ", held by id %d, which has ended\n", gone);
    assert_rest(strchr(end.said + length, ','), expected);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_are_called_by_their_last_names),
        cmocka_unit_test(a_thread_that_waits_for_itself_is_called_by_its_name),
        cmocka_unit_test(a_once_inside_itself_names_the_thread),
        cmocka_unit_test(a_task_that_a_waiting_one_runs_is_called_by_its_own_name),
        cmocka_unit_test(an_owner_that_has_ended_is_called_by_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
