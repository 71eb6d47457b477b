/* The end of a process behaves like the interpreter's; so do hooks for errors that nobody looks at.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <spool.h>

#include "base/atomic.h"
#include "conformance/child.h"

typedef const char *text;

static sp_event gate;

static sp_status say_after_gate(const text *in, sp_none *out)
{
    (void)out;
    sp_event_wait(&gate, SP_FOREVER);
    child_say(*in);
    return SP_OK;
}
SP_TASK(say_after_gate, text, sp_none);

static void fork_at_the_very_end(void)
{
    pid_t child = fork();
    if (child == 0)
        child_say("child ");
    else
        child_say(child_status(child) == 0 ? "parent " : "parent failed ");
}

static int fork_at_exit(void)
{
    if (atexit(fork_at_the_very_end) != 0)
        return 9;
    sp_event_set(&gate);
    sp_thread_release(
        sp_start(say_after_gate, "thread ")); /* the library's handler is the younger one and runs first */
    return 0;
}

static void *first_use(void *arg)
{
    sp_event_set(&gate);
    sp_thread_release(sp_start(say_after_gate, "thread "));
    return arg;
}

static int first_used_by_another_thread(void)
{
    test_join(test_thread(first_use, NULL));
    return 0;
}

static sp_status fork_a_child_with_threads(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    pid_t child = fork();
    if (child == 0) {
        sp_auto(sp_thread) thread = sp_start(say_after_gate, "thread ");
        if (sp_join(thread, NULL, SP_FOREVER) == SP_OK)
            child_say("child ");
        exit(0);
    }
    child_say(child_status(child) == 0 ? "parent " : "parent failed ");
    return SP_OK;
}
SP_TASK(fork_a_child_with_threads, sp_none, sp_none);

static int fork_in_a_thread(void)
{
    sp_event_set(&gate);
    sp_thread_release(sp_start(fork_a_child_with_threads));
    return 0;
}

enum { DAEMONS = 40 };
static uint32_t busy; /* atomic */
static sp_lock crowded;
static sp_condition pulse;

static sp_status work_for_ever(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    for (long i = 0;; i++) {
        sp_auto(sp_queue) queue = sp_queue_of(long);
        if (sp_put(queue, &i, SP_NOWAIT) != SP_OK || sp_get(queue, &i, SP_NOWAIT) != SP_OK)
            abort();
        SP_HOLD(&crowded);
        (void)sp_condition_wait(&pulse, &crowded, 1e-4);
        sp_condition_notify(&pulse, 2);
        if (i == 0)
            sp__add_seq_cst(&busy, 1);
    }
}
SP_TASK(work_for_ever, sp_none, sp_none);

static int leave_daemons_at_work(void)
{
    for (int i = 0; i < DAEMONS; i++)
        sp_thread_release(sp_start_with(SP_THREAD(.daemon = true), work_for_ever));
    test_await(sp__load_acquire(&busy) == DAEMONS);
    child_say("main ");
    exit(0);
}

static sp_status complain(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    return sp_raise(SP_VALUE_ERROR, "run failed");
}
SP_TASK(complain, sp_none, sp_none);

static void run_and_forget(void)
{
    sp_thread *thread = sp_start_with(SP_THREAD(.name = "excepthook thread"), complain);
    if (sp_thread_wait(thread, SP_FOREVER) != SP_OK)
        abort();
    sp_thread_release(thread);
}

static int the_default_hook(void)
{
    run_and_forget();
    return 0;
}

static void say_hook(sp_thread *thread, const sp_error *error, void *context)
{
    (void)context;
    child_say(sp_thread_name(thread));
    child_say(error->status == SP_VALUE_ERROR ? ": " : "? ");
    child_say(error->message);
}

static int the_hook_is_replaced_and_restored(void)
{
    sp_set_excepthook(say_hook, NULL);
    run_and_forget();
    sp_set_excepthook(NULL, NULL);
    child_say("; ");
    run_and_forget();
    return 0;
}

static int no_standard_error(void)
{
    close(STDERR_FILENO);
    run_and_forget();
    child_say("main ");
    return 0;
}

static const struct child_case cases[] = {
#ifndef __SANITIZE_THREAD__ /* which does not know threads that a forked child starts */
    CHILD_CASE(fork_in_a_thread, 0, "thread child parent ", ""),
#endif
    CHILD_CASE(fork_at_exit, 0, "thread child parent ", ""),
    CHILD_CASE(first_used_by_another_thread, 0, "thread ", ""),
    CHILD_CASE(leave_daemons_at_work, 0, "main ", ""),
    CHILD_CASE(the_default_hook, 0, "", "excepthook thread"),
    CHILD_CASE(the_hook_is_replaced_and_restored, 0, "excepthook thread: run failed; ", "run failed"),
    CHILD_CASE(no_standard_error, 0, "main ", ""),
};
enum { CASES = sizeof cases / sizeof cases[0] };

int main(int argc, char **argv)
{
    child_main(argc, argv, cases, CASES);
#ifdef __SANITIZE_THREAD__
    (void)fork_in_a_thread;
    puts("not under the thread sanitizer: fork_in_a_thread");
#endif
    struct CMUnitTest tests[CASES];
    for (int i = 0; i < CASES; i++)
        tests[i] = (struct CMUnitTest)CHILD_TEST(&cases[i]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
