/* The end of the process, and fork: each case runs in a child of its own, which is this program again.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* _Fork */
#include "testing.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spool.h>

static sp_event gate;
static sp_event leaving;     /* set when the exit of the process has begun: what waits for it ends only if exit waits */
static sp_semaphore arrived; /* a permit for each thread that waits at the gate, or is about to */
static sp_executor *pool, *own; /* not released by some cases, on purpose; here a leak check finds them */
extern sp_thread *thread;
extern sp_future *future;
sp_thread *thread;
sp_future *future;

static void put(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        abort();
}

static void note_exit(void)
{
    sp_event_set(&leaving);
}

/* Called after the library has registered its exit handler: ours runs before it. */
static void watch_exit(void)
{
    if (atexit(note_exit) != 0)
        abort();
}

static sp_status say_later(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp_event_wait(&leaving, SP_FOREVER);
    put("thread ");
    return SP_OK;
}
SP_TASK(say_later, sp_none, sp_none);

static sp_status for_ever(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    if (sp_semaphore_release(&arrived, 1) != SP_OK)
        abort();
    sp_event_wait(&gate, SP_FOREVER);
    put("daemon ");
    return SP_OK;
}
SP_TASK(for_ever, sp_none, sp_none);

static sp_status leave(const int *in, sp_none *out)
{
    (void)out;
    put("leaving ");
    exit(*in);
}
SP_TASK(leave, int, sp_none);

static sp_status complain(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    return sp_raise(SP_VALUE_ERROR, "nobody looks at me");
}
SP_TASK(complain, sp_none, sp_none);

/* ---- the cases: what the child does ---- */

static int threads_are_waited_for(void)
{
    sp_thread_release(sp_start(say_later));
    sp_thread_release(sp_start(say_later));
    watch_exit();
    put("main ");
    return 0;
}

static int daemons_are_not(void)
{
    sp_thread_release(sp_start_with(SP_THREAD(.daemon = true), for_ever));
    put("main ");
    return 0;
}

static int pools_are_drained(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    for (int i = 0; i < 3; i++)
        if (sp_post(pool, say_later) != SP_OK)
            return 9;
    watch_exit();
    put("main ");
    return 0;
}

static int exit_in_a_task(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    sp_thread_release(sp_start(say_later));
    watch_exit();
    if (sp_post(pool, leave, 5) != SP_OK)
        return 9;
    sp_event_wait(&gate, SP_FOREVER);
    return 9;
}

static int exit_in_a_thread(void)
{
    sp_thread_release(sp_start(say_later));
    watch_exit();
    sp_thread_release(sp_start(leave, 6));
    sp_event_wait(&gate, SP_FOREVER);
    return 9;
}

static int unseen_errors_are_said(void)
{
    thread = sp_start(complain);
    pool = sp_thread_pool(.max_workers = 1);
    future = sp_submit(pool, complain);
    bool ended = sp_future_wait(future, SP_FOREVER) && sp_thread_wait(thread, SP_FOREVER) == SP_OK;
    return ended ? 0 : 9; /* both handles are still held */
}

static int join_all_in_main(void)
{
    sp_thread_release(sp_start(say_later));
    bool too_early = sp_join_all(0.001);
    sp_event_set(&leaving);
    bool all = !too_early && sp_join_all(SP_FOREVER);
    put(all ? "all " : "not all ");
    return 0;
}

/* What a limited call has not waited for goes on, and its pool accepts more. */
static int join_all_in_time_closes_nothing(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    bool posted = sp_post(pool, say_later) == SP_OK;
    bool too_early = sp_join_all(0.001) || sp_join_all(SP_NOWAIT);
    bool accepted = sp_post(pool, say_later) == SP_OK;
    sp_event_set(&leaving);
    bool all = sp_join_all(50);
    bool closed = sp_post(pool, say_later) == SP_SHUT_DOWN;
    put(posted && !too_early && accepted && all && closed ? "all " : "not all ");
    sp_executor_release(pool);
    return 0;
}

static sp_status say_number(const int *in, sp_none *out)
{
    (void)out;
    sp_sleep(0.02); /* it would not be done if nobody waited */
    put(*in == 1 ? "first " : "second ");
    return SP_OK;
}
SP_TASK(say_number, int, sp_none);

/* An exit handler that runs after ours. */
static void make_a_pool_late(void)
{
    if (sp_post(pool, say_number, 1) != SP_SHUT_DOWN)
        put("lost ");
    sp_executor *late = sp_thread_pool(.max_workers = 1);
    if (sp_post(late, say_number, 2) != SP_OK)
        put("refused ");
    sp_executor_release(late);
}

static int what_exit_handlers_make_is_waited_for(void)
{
    if (atexit(make_a_pool_late) != 0)
        return 9;
    pool = sp_thread_pool(.max_workers = 1);
    return sp_post(pool, say_number, 1) == SP_OK ? 0 : 9;
}

static int a_forked_child_waits_for_nobody(void)
{
    thread = sp_start_with(SP_THREAD(.daemon = true), for_ever);
    pool = sp_thread_pool(.max_workers = 1);
    future = sp_submit(pool, for_ever);
    for (int i = 0; i < 2; i++)
        sp_semaphore_acquire(&arrived); /* the address sanitizer's allocator does not survive a fork in its middle */
    pid_t child = fork();
    if (child == 0) {
        /* What was made before is closed; what is made now works. */
        bool closed = sp_join(thread, NULL, SP_FOREVER) == SP_SHUT_DOWN && sp_post(pool, for_ever) == SP_SHUT_DOWN &&
                      sp_shutdown(pool) == SP_OK;
        sp_auto(sp_completion) set = sp_as_completed(&future, 1, SP_FOREVER);
        closed = closed && sp_result(future, NULL, SP_FOREVER) == SP_SHUT_DOWN && !sp_future_wait(future, SP_FOREVER) &&
                 sp_wait(&future, 1, SP_FIRST_COMPLETED, SP_FOREVER) == SP_SHUT_DOWN && sp_next(set) == NULL &&
                 sp_completion_status(set) == SP_SHUT_DOWN;
        sp_event_set(&leaving);
        own = sp_thread_pool(.max_workers = 2);
        sp_future *later = sp_submit(own, say_later);
        bool ran = sp_result(later, NULL, SP_FOREVER) == SP_OK;
        put(closed && ran ? "child " : "child failed ");
        sp_future_release(later);
        sp_executor_release(own);
        sp_event_clear(&leaving);
        sp_thread_release(sp_start(say_later));
        watch_exit();
        exit(0); /* waits for what the child has started */
    }
    int status = -1;
    waitpid(child, &status, 0);
    sp_event_set(&gate);
    bool done = sp_result(future, NULL, SP_FOREVER) == SP_OK && sp_join(thread, NULL, SP_FOREVER) == SP_OK;
    put(status == 0 && done ? "parent " : "parent failed ");
    sp_future_release(future);
    sp_thread_release(thread);
    sp_executor_release(pool);
    return 0;
}

/* ---- handlers of atexit(), before and after the library's first use ---- */

static uint32_t torn_down, worked; /* atomic */

static void tear_down(void)
{
    __atomic_store_n(&torn_down, 1, __ATOMIC_RELAXED);
    put("torn down ");
}

static sp_status work_for_a_while(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    for (int i = 0; i < 5; i++)
        sp_sleep(0.01);
    put(__atomic_load_n(&torn_down, __ATOMIC_RELAXED) ? "too late " : "work ");
    __atomic_add_fetch(&worked, 1, __ATOMIC_RELAXED);
    return SP_OK;
}
SP_TASK(work_for_a_while, sp_none, sp_none);

static sp_status exit_here(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    exit(4);
}
SP_TASK(exit_here, sp_none, sp_none);

static void start_everything(void)
{
    sp_thread_release(sp_start(work_for_a_while));
    pool = sp_thread_pool(.max_workers = 1);
    if (sp_post(pool, work_for_a_while) != SP_OK)
        abort();
    sp_timer_release(sp_timer_start(0.001, work_for_a_while));
    if (atexit(tear_down) != 0)
        abort();
}

static int handlers_find_no_thread_at_work(void)
{
    start_everything();
    return 0;
}

static int handlers_after_exit_in_a_thread(void)
{
    start_everything();
    thread = sp_start(exit_here);
    sp_event_wait(&gate, SP_FOREVER);
    return 9;
}

/* It sleeps for ever first, as far as others can see, and then works, without the library. */
static sp_status sleep_and_work(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp_event_wait(&gate, SP_FOREVER);
    sp_event_set(&leaving);
    usleep(300000); /* more than exit looks twice in */
    put(__atomic_load_n(&torn_down, __ATOMIC_RELAXED) ? "too late " : "work ");
    return SP_OK;
}
SP_TASK(sleep_and_work, sp_none, sp_none);

static int handlers_wait_for_one_that_woke_up(void)
{
    thread = sp_start(sleep_and_work);
    sp_sleep(0.01);
    sp_event_set(&gate);
    sp_event_wait(&leaving, SP_FOREVER);
    return atexit(tear_down) != 0;
}

static sp_event never;

static sp_status never_rest(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    while (!sp_event_is_set(&never))
        sched_yield();
    return SP_OK;
}
SP_TASK(never_rest, sp_none, sp_none);

static sp_status wait_for_handler(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp_event_wait(&gate, SP_FOREVER);
    put("let go ");
    return SP_OK;
}
SP_TASK(wait_for_handler, sp_none, sp_none);

static void let_go_in_handler(void)
{
    put("handler ");
    sp_event_set(&gate);
}

/* The other sleeps, and a daemon may be at work for ever. */
static int handlers_do_not_wait_for_a_daemon(void)
{
    sp_thread_release(sp_start_with(SP_THREAD(.daemon = true), never_rest));
    sp_thread_release(sp_start(wait_for_handler));
    return atexit(let_go_in_handler) != 0;
}

static bool starts_at_last;

static int what_a_destructor_starts_is_waited_for(void)
{
    sp_thread_release(sp_start(work_for_a_while));
    starts_at_last = true;
    return 0;
}

/* Behind all handlers, also the library's. */
__attribute__((destructor)) static void start_at_last(void)
{
    if (starts_at_last)
        sp_thread_release(sp_start(work_for_a_while));
}

/* exit() is called by one, and another call does not end the process meanwhile. */
static void start_another_exit(void)
{
    sp_thread_release(sp_start(exit_here));
    usleep(50000);
    put(sp_thread_active_count() >= 2 ? "two " : "fewer ");
}

static int a_second_exit_waits_for_the_first(void)
{
    return atexit(start_another_exit) != 0;
}

static void start_in_handler(void)
{
    put("handler ");
    sp_thread_release(sp_start(work_for_a_while));
}

static int what_a_handler_starts_is_waited_for(void)
{
    return atexit(start_in_handler) != 0;
}

/* ---- who waits for a thread that calls exit() ---- */

static sp_status wait_for_main(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    put(sp_thread_wait(sp_thread_main(), SP_FOREVER) == SP_OK ? "main has ended " : "no ");
    return SP_OK;
}
SP_TASK(wait_for_main, sp_none, sp_none);

static int whoever_waits_for_main_is_told(void)
{
    sp_thread_release(sp_start(wait_for_main));
    return 0;
}

static sp_status wait_for_leaver(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp_event_wait(&gate, SP_FOREVER);
    sp_status told = future != NULL ? sp_result(future, NULL, SP_FOREVER) : sp_join(thread, NULL, SP_FOREVER);
    put(told == SP_RUNTIME_ERROR ? "told " : "no ");
    return SP_OK;
}
SP_TASK(wait_for_leaver, sp_none, sp_none);

static sp_status exit_at_gate(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp_event_wait(&gate, SP_FOREVER);
    exit(4);
}
SP_TASK(exit_at_gate, sp_none, sp_none);

static int whoever_waits_for_the_thread_that_exits_is_told(void)
{
    thread = sp_start(exit_at_gate);
    sp_thread_release(sp_start(wait_for_leaver));
    sp_event_set(&gate);
    sp_event_wait(&leaving, SP_FOREVER);
    return 9;
}

static int whoever_waits_for_the_task_that_exits_is_told(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    future = sp_submit(pool, exit_at_gate);
    sp_thread_release(sp_start(wait_for_leaver));
    sp_event_set(&gate);
    sp_event_wait(&leaving, SP_FOREVER);
    return 9;
}

static sp_status end_pool(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    put(sp_shutdown(pool) == SP_OK ? "told " : "failed ");
    return SP_OK;
}
SP_TASK(end_pool, sp_none, sp_none);

static int whoever_ends_the_pool_of_the_task_that_exits_is_told(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    future = sp_submit(pool, exit_at_gate);
    sp_thread_release(sp_start(end_pool));
    sp_event_set(&gate);
    sp_event_wait(&leaving, SP_FOREVER);
    return 9;
}

/* ---- a fork of which the library is not told ---- */

/* As one by a daemon thread at the very end of exit(), when the C library has forgotten the handlers. */
static int a_child_that_nobody_knows_of_just_exits(void)
{
    sp_thread_release(sp_start(say_later));
    pid_t child = _Fork();
    if (child == 0) {
        alarm((unsigned)test_patience());
        put("child ");
        exit(3);
    }
    int status;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 3)
        return 9;
    watch_exit();
    return 0;
}

/* ---- pthread_exit() in main ---- */

/* The last thread of the process. */
static void *raw_thread(void *arg)
{
    while (__atomic_load_n(&worked, __ATOMIC_RELAXED) < 2)
        sched_yield();
    usleep(20000);
    put("raw ");
    return arg;
}

static int main_ends_by_pthread_exit(void)
{
    start_everything();
    sp_thread_release(sp_start_with(SP_THREAD(.daemon = true), for_ever));
    pthread_exit(NULL);
}

static int main_ends_before_a_raw_thread(void)
{
    pthread_t raw;
    pool = sp_thread_pool(.max_workers = 2);
    if (sp_post(pool, work_for_a_while) != SP_OK || pthread_create(&raw, NULL, raw_thread, NULL) != 0)
        return 9;
    sp_timer_release(sp_timer_start(0.001, work_for_a_while));
    pthread_exit(NULL);
}

static const struct exit_case {
    const char *name;
    int (*run)(void);
    int status;
    const char *said, *complained; /* words that must stand in the child's output */
} cases[] = {
    { "threads", threads_are_waited_for, 0, "main thread thread ", "" },
    { "daemons", daemons_are_not, 0, "main ", "" },
    { "pools", pools_are_drained, 0, "main thread thread thread ", "" },
    { "task", exit_in_a_task, 5, "leaving thread ", "" },
    { "thread", exit_in_a_thread, 6, "leaving thread ", "" },
    { "unseen", unseen_errors_are_said, 0, "", "nobody looks at me" },
    { "join", join_all_in_main, 0, "thread all ", "" },
    { "handlers, daemon", handlers_do_not_wait_for_a_daemon, 0, "handler let go ", "" },
#ifdef __GLIBC__ /* elsewhere handlers of atexit() run in their order alone, and none after the destructors */
    { "destructor", what_a_destructor_starts_is_waited_for, 0, "work work ", "" },
    { "handlers", handlers_find_no_thread_at_work, 0, "work work work torn down ", "" },
    { "second exit", a_second_exit_waits_for_the_first, 0, "two ", "" },
    { "handlers, awake", handlers_wait_for_one_that_woke_up, 0, "work torn down ", "" },
    { "handlers, thread", handlers_after_exit_in_a_thread, 4, "work work work torn down ", "" },
#endif
    { "start in a handler", what_a_handler_starts_is_waited_for, 0, "handler work ", "" },
    { "wait for main", whoever_waits_for_main_is_told, 0, "main has ended ", "" },
    { "wait for a thread", whoever_waits_for_the_thread_that_exits_is_told, 4, "told ", "" },
    { "wait for a task", whoever_waits_for_the_task_that_exits_is_told, 4, "told ", "" },
    { "wait for a pool", whoever_ends_the_pool_of_the_task_that_exits_is_told, 4, "told ", "" },
#ifndef __SANITIZE_THREAD__ /* which has a thread of its own that goes on */
    { "pthread_exit", main_ends_by_pthread_exit, 0, "work work work torn down ", "" },
#ifndef __SANITIZE_ADDRESS__ /* which takes what the C library keeps in the main thread's memory for a leak */
    { "pthread_exit, raw", main_ends_before_a_raw_thread, 0, "work work raw ", "" },
#endif
#endif
    { "limit", join_all_in_time_closes_nothing, 0, "thread thread all ", "" },
    { "pool in a handler", what_exit_handlers_make_is_waited_for, 0, "first second ", "" },
#ifndef __SANITIZE_THREAD__ /* which does not know threads that a forked child starts */
    { "fork", a_forked_child_waits_for_nobody, 0, NULL, "" },
    { "fork, missed", a_child_that_nobody_knows_of_just_exits, 0, "child thread ", "" },
#endif
};
enum { CASES = sizeof cases / sizeof cases[0] };

static size_t read_all(int descriptor, char *text, size_t size)
{
    size_t length = 0;
    for (ssize_t got; (got = read(descriptor, text + length, size - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    close(descriptor);
    return length;
}

static int count(const char *text, const char *word)
{
    int found = 0;
    for (; (text = strstr(text, word)) != NULL; text += strlen(word))
        found++;
    return found;
}

static const char *program; /* argv[0] */

static void run_case(void **state)
{
    const struct exit_case *exit_case = *state;
    int out[2], err[2], status;
    char said[4096], complained[4096];
    if (test_is_emulated() && strncmp(exit_case->name, "pthread_exit", strlen("pthread_exit")) == 0) {
        puts("not tested: an emulator has a thread of its own that goes on");
        skip();
    }
    assert_int_equal(pipe(out) + pipe(err), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        close(out[0]);
        close(err[0]);
        if (strncmp(exit_case->name, "fork", strlen("fork")) ==
            0) /* the leak check stumbles over the forked child's lost threads */
            setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
        test_execute((char *[]){ (char *)program, (char *)exit_case->name, NULL });
        _exit(99);
    }
    close(out[1]);
    close(err[1]);
    read_all(out[0], said, sizeof said);
    read_all(err[0], complained, sizeof complained);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != exit_case->status)
        fail_msg("%s: status %x, said '%s', complained '%s'", exit_case->name, (unsigned)status, said, complained);
    if (exit_case->said != NULL)
        assert_string_equal(said, exit_case->said);
    else
        assert_true(count(said, "child ") == 1 && count(said, "parent ") == 1 && count(said, "thread ") == 2);
    if (*exit_case->complained != '\0')
        assert_int_equal(count(complained, exit_case->complained), 2); /* one for the thread, one for the future */
    else
        assert_string_equal(complained, "");
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[CASES];
#ifndef __GLIBC__
    (void)what_a_destructor_starts_is_waited_for, (void)a_second_exit_waits_for_the_first,
        (void)handlers_find_no_thread_at_work, (void)handlers_wait_for_one_that_woke_up,
        (void)handlers_after_exit_in_a_thread;
#endif
#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__
    (void)a_forked_child_waits_for_nobody, (void)a_child_that_nobody_knows_of_just_exits,
        (void)main_ends_by_pthread_exit, (void)main_ends_before_a_raw_thread;
    if (argc == 1)
        puts("not under this sanitizer: pthread_exit in main before a raw thread; under that for threads: fork, "
             "pthread_exit in main");
#endif
    program = argv[0];
    for (int i = 0; i < CASES; i++) {
        if (argc > 1 && strcmp(argv[1], cases[i].name) == 0)
            return cases[i].run();
        tests[i] = (struct CMUnitTest){ cases[i].name, run_case, NULL, NULL, (void *)(uintptr_t)&cases[i] };
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
