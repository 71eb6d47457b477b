/* Threads that had failed or ended before a fork: their results are there, and the parent tells of the failures.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pthread_getname_np */
#include "fork.h"

#include <spool.h>

#include "os/fault.h"

static const char *program;
static sp_semaphore arrived;
static sp_event may_end;
static bool is_child; /* in the forked process */

static void arrive(void)
{
    must(sp_semaphore_release(&arrived, 1) == SP_OK);
}

static sp_status nothing(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_OK;
}
SP_TASK(nothing, sp_none, sp_none);

/* ---- failures ---- */

static unsigned told;       /* by the hooks in this process */
static sp_thread *of_child; /* which has failed in the child */

static void count_failure(sp_thread *thread, const sp_error *error, void *context)
{
    (void)error, (void)context;
    must(!is_child || thread == of_child);
    told++;
}

static sp_status fail_at_once(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_raise(SP_RUNTIME_ERROR, "on purpose");
}
SP_TASK(fail_at_once, sp_none, sp_none);

enum { FAILED = 3 };
static sp_thread *failed[FAILED];

static void start_failed(void)
{
    sp_set_excepthook(count_failure, NULL);
    for (int i = 0; i < FAILED; i++) {
        failed[i] = sp_start(fail_at_once);
        must(sp_thread_wait(failed[i], SP_FOREVER) == SP_OK);
    }
}

/* The last handler of exit: the library's were called before. */
static void one_in_child(void)
{
    must(told == (is_child ? 1 : 0));
}

/* One of the child's own is told at its exit, though those of the parent's are looked at and given back in between. */
static void own_failure_in_child(void)
{
    is_child = true;
    of_child = sp_start(fail_at_once);
    must(sp_thread_wait(of_child, SP_FOREVER) == SP_OK);
    must(sp_join(failed[0], NULL, SP_FOREVER) == SP_RUNTIME_ERROR && sp_thread_error(failed[1]) != NULL);
    for (int i = 0; i < FAILED; i++)
        sp_thread_release(failed[i]);
    must(told == 0);
}

static void nothing_in_child(void)
{
    is_child = true;
}

static void failures(void)
{
    start_failed();
    sp_set_excepthook(NULL, NULL); /* what is told at exit is seen on standard error */
    forked_to_exit(nothing_in_child);
    sp_set_excepthook(count_failure, NULL);
    for (int i = 0; i < FAILED; i++)
        sp_thread_release(failed[i]);
    must(told == FAILED); /* in the parent they are told, once */
}

static void own_failures(void)
{
    must(atexit(one_in_child) == 0);
    start_failed();
    forked_to_exit(own_failure_in_child);
    _exit(0);
}

static pthread_key_t key;
static char own_name[16];

static void fork_in_destructor(void *value)
{
    (void)value;
    is_child = is_forked_child();
    if (is_child) {
        must(sp_thread_active_count() == 1 && sp_thread_is_alive(sp_thread_current()));
        must(sp_thread_set_name(sp_thread_current(), "child") == SP_OK);
        must(pthread_getname_np(pthread_self(), own_name, sizeof own_name) == 0 && strcmp(own_name, "child") == 0);
    }
    sp_set_excepthook(is_child ? NULL : count_failure, NULL);
}

static sp_status fail_and_fork(const sp_none *in, sp_none *out)
{
    must(pthread_setspecific(key, "") == 0);
    return fail_at_once(in, out);
}
SP_TASK(fail_and_fork, sp_none, sp_none);

/* The failed thread itself forks, at its end, and its end in the child tells nobody. */
static void failed_forks(void)
{
    must(pthread_key_create(&key, fork_in_destructor) == 0);
    sp_thread *thread = sp_start(fail_and_fork);
    must(sp_thread_wait(thread, SP_FOREVER) == SP_OK && told == 0);
    sp_thread_release(thread);
    must(told == 1);
}

/* ---- threads that had ended, but were not gone ---- */

static void stay_in_destructor(void *value)
{
    (void)value;
    arrive();
    sp_event_wait(&may_end, SP_FOREVER);
}

static void drop_in_child(void *arg)
{
    (void)arg;
    must(!is_child);
}

static sp_status end_slowly(const int *in, int *out)
{
    must(pthread_setspecific(key, "") == 0);
    *out = 3 * *in;
    return SP_OK;
}
SP_TASK_OWNING(end_slowly, int, int, drop_in_child, NULL);

static sp_thread *ended;

/* Nothing of the parent's is collected, or dropped, by what the child starts and ends. */
static void ended_in_child(void)
{
    int value = 0;
    is_child = true;
    must(!sp_thread_is_alive(ended) && sp_thread_wait(ended, SP_FOREVER) == SP_OK);
    must(sp_join(ended, &value, SP_FOREVER) == SP_OK && value == 12);
    sp_thread_release(ended);
    for (int i = 0; i < 3; i++) {
        sp_auto(sp_thread) own = sp_start(nothing);
        must(sp_join(own, NULL, SP_FOREVER) == SP_OK);
    }
    must(sp_join_all(SP_FOREVER) && sp_thread_active_count() == 1);
}

static void ended_before(void)
{
    must(pthread_key_create(&key, stay_in_destructor) == 0);
    ended = sp_start(end_slowly, 4);
    sp_thread_release(sp_start(end_slowly, 5)); /* nobody will join it */
    sp_semaphore_acquire(&arrived);
    sp_semaphore_acquire(&arrived);
    forked_to_exit(ended_in_child);
    sp_event_set(&may_end);
    must(sp_join(ended, NULL, SP_FOREVER) == SP_OK);
    sp_thread_release(ended);
}

/* ---- a name for a thread of the parent's ---- */

static sp_thread *running;

static sp_status wait_until_set(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    arrive();
    sp_event_wait(&may_end, SP_FOREVER);
    must(pthread_getname_np(pthread_self(), own_name, sizeof own_name) == 0);
    return SP_OK;
}
SP_TASK(wait_until_set, sp_none, sp_none);

/* Its own thread, which may have got the stack of the parent's. */
static void rename_in_child(void)
{
    sp_thread *own = sp_start_with(SP_THREAD(.name = "own"), wait_until_set);
    sp_semaphore_acquire(&arrived);
    must(sp_thread_set_name(running, "renamed") == SP_OK && strcmp(sp_thread_name(running), "renamed") == 0);
    sp_event_set(&may_end);
    must(sp_join(own, NULL, SP_FOREVER) == SP_OK && strcmp(own_name, "own") == 0);
}

static void renamed(void)
{
    running = sp_start(wait_until_set);
    sp_semaphore_acquire(&arrived);
    forked_to_exit(rename_in_child);
    sp_event_set(&may_end);
    must(sp_join(running, NULL, SP_FOREVER) == SP_OK && strcmp(sp_thread_name(running), "renamed") != 0);
    sp_thread_release(running);
}

/* ---- a thread for whose record the child has no memory ---- */

/* The nth of the library's calls of the system is refused.  In the child the thread is main, and returns; one of the library's
   own is there besides, which takes no signals: the parent must end it if it does not end. */
static void *fork_without_memory(void *nth)
{
    fflush(NULL);
    sp__fault_arm(*(const uint64_t *)nth, false);
    pid_t child = fork();
    sp__fault_disarm();
    if (child == 0) {
        must(sp_thread_main() != NULL && sp_thread_enumerate(NULL, 0) <= 1);
        sp_timer *timer = sp_timer_start(0, nothing);
        must(sp_timer_join(timer, SP_FOREVER) == SP_OK);
        sp_timer_release(timer);
        return NULL;
    }
    siginfo_t end = { .si_pid = 0 };
    double begin = test_now();
    for (unsigned look = 0; end.si_pid == 0 && test_now() - begin < 20; look++) {
        must(waitid(P_PID, (id_t)child, &end, WEXITED | WNOHANG | WNOWAIT) == 0);
        test_pause(look);
    }
    if (end.si_pid == 0)
        kill(child, SIGKILL);
    fork_ends(child, 0);
    return NULL;
}

/* It is known to the library before, and has memory for a notice of its end. */
static void *use_and_fork_without_memory(void *nth)
{
    sp_sleep(SP_NOWAIT);
    must(sp_thread_ident(sp_thread_main()) != 0);
    return fork_without_memory(nth);
}

static void unrecorded(void)
{
    for (uint64_t nth = 1; nth <= 5; nth++) {
        test_join(test_thread(use_and_fork_without_memory, &nth));
        test_join(test_thread(fork_without_memory, &nth));
    }
}

/* ---- the tests ---- */

static const struct child_case cases[] = {
    { "failures", failures },  { "own failures", own_failures }, { "failed forks", failed_forks },
    { "ended", ended_before }, { "renamed", renamed },           { "unrecorded", unrecorded },
};

static void failed_threads_of_the_parent_are_not_told_by_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "failures");
    fork_case_passes(program, "failed forks");
}

static void a_failed_thread_of_the_child_is_told_at_its_exit(void **state)
{
    (void)state;
    fork_case_passes(program, "own failures");
}

static void a_thread_that_had_ended_keeps_its_result_and_is_not_collected(void **state)
{
    (void)state;
    fork_case_passes(program, "ended");
}

static void a_name_for_a_thread_of_the_parent_is_no_other_threads(void **state)
{
    (void)state;
    fork_case_passes(program, "renamed");
}

static void a_child_ends_with_its_main_thread_though_there_was_no_memory_for_it(void **state)
{
    (void)state;
    fork_case_passes(program, "unrecorded");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_threads_of_the_parent_are_not_told_by_the_child),
        cmocka_unit_test(a_failed_thread_of_the_child_is_told_at_its_exit),
        cmocka_unit_test(a_thread_that_had_ended_keeps_its_result_and_is_not_collected),
        cmocka_unit_test(a_name_for_a_thread_of_the_parent_is_no_other_threads),
        cmocka_unit_test(a_child_ends_with_its_main_thread_though_there_was_no_memory_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
