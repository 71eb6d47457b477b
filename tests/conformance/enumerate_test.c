/* sp_thread_current, sp_thread_main, sp_thread_active_count and sp_thread_enumerate behave like their models.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "conformance/bunch.h"
#include "conformance/child.h"

enum { MOST = 64 };

static sp_event gate;
static sp_semaphore arrived;

static sp_status wait_at_gate(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    if (sp_semaphore_release(&arrived, 1) != SP_OK)
        return SP_RUNTIME_ERROR;
    sp_event_wait(&gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_at_gate, sp_none, sp_none);

static sp_status idents(const sp_none *in, uint64_t *out)
{
    (void)in;
    *out = sp_thread_ident(sp_thread_current());
    if (sp_thread_current() == sp_thread_main() || *out == sp_thread_ident(sp_thread_main()))
        return sp_raise(SP_RUNTIME_ERROR, "a thread is not the main thread");
    return SP_OK;
}
SP_TASK(idents, sp_none, uint64_t);

static sp_status nothing(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    return SP_OK;
}
SP_TASK(nothing, sp_none, sp_none);

/* How often the thread is in what enumerate gives. */
static int times_listed(sp_thread *thread)
{
    sp_thread *all[MOST];
    size_t n = sp_thread_enumerate(all, MOST);
    int times = 0;
    assert_true(n <= MOST);
    for (size_t i = 0; i < n; i++) {
        times += all[i] == thread;
        assert_true(sp_thread_ident(all[i]) != 0);
        sp_thread_release(all[i]); /* each is retained */
    }
    return times;
}

/* ---- in one process ---- */

static void main_is_the_current_thread_of_main(void **state)
{
    (void)state;
    assert_non_null(sp_thread_main());
    assert_ptr_equal(sp_thread_main(), sp_thread_current());
    assert_true(sp_thread_ident(sp_thread_main()) != 0);
    assert_string_equal(sp_thread_name(sp_thread_main()), "MainThread");
    assert_true(sp_thread_is_alive(sp_thread_main()));
    assert_false(sp_thread_is_daemon(sp_thread_main()));
    assert_int_equal(sp_thread_native_id(sp_thread_main()), (uint64_t)getpid());
    assert_int_equal(times_listed(sp_thread_main()), 1);
}

static void current_is_the_handle_of_the_start(void **state)
{
    (void)state;
    uint64_t ident = 0;
    sp_auto(sp_thread) thread = sp_start(idents);
    assert_int_equal(sp_join(thread, &ident, SP_FOREVER), SP_OK);
    assert_int_equal(ident, sp_thread_ident(thread));
}

static void who_runs_is_listed_once_until_joined(void **state)
{
    (void)state;
    size_t before = sp_thread_active_count();
    sp_event_clear(&gate);
    sp_auto(sp_thread) first = sp_start(wait_at_gate);
    sp_auto(sp_thread) second = sp_start_with(SP_THREAD(.daemon = true), wait_at_gate);
    assert_int_equal(sp_thread_active_count(), before + 2);
    assert_int_equal(times_listed(first), 1);
    assert_int_equal(times_listed(second), 1); /* daemons too */
    sp_event_set(&gate);
    assert_int_equal(sp_join(first, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_join(second, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(times_listed(first) + times_listed(second), 0);
    assert_int_equal(sp_thread_active_count(), before);
}

static void a_joined_thread_is_not_listed(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--) {
        sp_auto(sp_thread) thread = sp_start(nothing);
        assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
        assert_int_equal(times_listed(thread), 0);
        assert_false(sp_thread_is_alive(thread));
    }
}

static void enumerate_says_how_many_there_are_and_fills_what_fits(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    sp_auto(sp_thread) first = sp_start(wait_at_gate);
    sp_auto(sp_thread) second = sp_start(wait_at_gate);
    sp_thread *all[2] = { NULL, NULL };
    size_t n = sp_thread_active_count();
    assert_true(n >= 3);
    assert_int_equal(sp_thread_enumerate(NULL, 0), n);
    assert_int_equal(sp_thread_enumerate(all, 1), n);
    assert_non_null(all[0]);
    assert_null(all[1]); /* beyond the end */
    sp_thread_release(all[0]);
    sp_event_set(&gate);
    assert_int_equal(sp_join(first, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_join(second, NULL, SP_FOREVER), SP_OK);
}

/* ---- threads of another's making ---- */

static void use_a_lock(void *context)
{
    sp_lock_acquire((sp_lock *)context);
    sp_lock_release((sp_lock *)context);
}

static void foreign_threads_that_use_locks_leave_nothing(void **state)
{
    (void)state;
    sp_lock lock = { 0 };
    size_t before = sp_thread_active_count();
    bunch_of(15, use_a_lock, &lock);
    assert_int_equal(sp_thread_active_count(), before);
}

static void ask_who_i_am(void *context)
{
    sp_thread *self = sp_thread_current();
    bool *good = context;
    *good = self == NULL || (self != sp_thread_main() && sp_thread_ident(self) != 0 && self == sp_thread_current() &&
                             sp_thread_is_daemon(self));
}

static void a_foreign_thread_is_not_main(void **state)
{
    (void)state;
    bool good = false;
    size_t before = sp_thread_active_count();
    bunch_of(1, ask_who_i_am, &good);
    assert_true(good);
    assert_int_equal(sp_thread_active_count(), before);
}

/* ---- after a fork, and at the end: what children do ---- */

static bool alone_and_main(void)
{
    return sp_thread_active_count() == 1 && sp_thread_current() == sp_thread_main() &&
           times_listed(sp_thread_current()) == 1;
}

static int only_the_forking_thread_is_left(void)
{
    sp_event_clear(&gate);
    for (int i = 0; i < 16; i++)
        sp_thread_release(sp_start(wait_at_gate));
    for (int i = 0; i < 16; i++)
        sp_semaphore_acquire(&arrived);
    pid_t child = fork();
    if (child == 0)
        _exit(alone_and_main() && strcmp(sp_thread_name(sp_thread_main()), "MainThread") == 0 ? 51 : 52);
    int status = child_status(child);
    bool unchanged = sp_thread_active_count() == 17;
    sp_event_set(&gate);
    return unchanged ? status : 53;
}

static sp_status fork_here(const sp_none *in, int *out)
{
    (void)in;
    uint64_t ident = sp_thread_ident(sp_thread_current());
    pid_t child = fork();
    if (child == 0)
        _exit(alone_and_main() && sp_thread_ident(sp_thread_main()) == ident ? 51 : 52);
    *out = child_status(child);
    return SP_OK;
}
SP_TASK(fork_here, sp_none, int);

static int the_forking_thread_is_main_in_the_child(void)
{
    int status = 0;
    sp_auto(sp_thread) thread = sp_start(fork_here);
    return sp_join(thread, &status, SP_FOREVER) == SP_OK ? status : 53;
}

static void say_whether_main(void)
{
    child_say(alone_and_main() ? "main " : "not main ");
}

static int main_is_current_at_exit(void)
{
    if (atexit(say_whether_main) != 0) /* runs after the library has waited for all threads */
        return 9;
    sp_thread_release(sp_start(nothing));
    return 0;
}

static const struct child_case cases[] = {
    CHILD_CASE(main_is_current_at_exit, 0, "main ", ""),
#ifndef __SANITIZE_THREAD__ /* which holds against a forked child what threads did that it does not have */
    CHILD_CASE(only_the_forking_thread_is_left, 51, "", ""),
    CHILD_CASE(the_forking_thread_is_main_in_the_child, 51, "", ""),
#endif
};
enum { CASES = sizeof cases / sizeof cases[0] };

int main(int argc, char **argv)
{
    child_main(argc, argv, cases, CASES);
#ifdef __SANITIZE_THREAD__
    (void)only_the_forking_thread_is_left;
    (void)the_forking_thread_is_main_in_the_child;
    puts("not under the thread sanitizer: the cases that fork with threads");
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(main_is_the_current_thread_of_main),
        cmocka_unit_test(current_is_the_handle_of_the_start),
        cmocka_unit_test(who_runs_is_listed_once_until_joined),
        cmocka_unit_test(a_joined_thread_is_not_listed),
        cmocka_unit_test(enumerate_says_how_many_there_are_and_fills_what_fits),
        cmocka_unit_test(foreign_threads_that_use_locks_leave_nothing),
        cmocka_unit_test(a_foreign_thread_is_not_main),
    };
    struct CMUnitTest children[CASES];
    for (int i = 0; i < CASES; i++)
        children[i] = (struct CMUnitTest)CHILD_TEST(&cases[i]);
    int failed = cmocka_run_group_tests_name("threads", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("processes", children, NULL, NULL);
}
