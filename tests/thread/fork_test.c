/* A fork in each kind of thread: the child's main thread, timers, the end of the process.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* gettid, sched_getcpu */
#include "fork.h"

#include <sched.h>
#include <sys/mman.h>

#include <spool.h>

#include "os/fault.h"
#include "thread/thread.h"

static const char *program;
static sp_event may_end, has_forked;
static bool is_child; /* in the forked process */

/* Fork, and return in both. */
static void fork_and_return(void)
{
    is_child = is_forked_child();
}

static sp_status nothing(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_OK;
}
SP_TASK(nothing, sp_none, sp_none);

/* ---- who is who ---- */

/* The calling thread is the only one, the main thread, and this one. */
static void must_be_alone(sp_thread *self)
{
    sp_thread *only = NULL;
    must(sp_thread_current() == self && sp_thread_main() == self);
    must(sp_thread_enumerate(&only, 1) == 1 && only == self && sp_thread_active_count() == 1);
    sp_thread_release(only);
    must(sp_thread_is_alive(self) && !sp_thread_is_daemon(self));
    must(sp_thread_native_id(self) == (uint64_t)gettid());
    must(sp_join(self, NULL, SP_NOWAIT) == SP_DEADLOCK);
    must(sp__load_acquire(&self->refs) >= 2); /* the list has one, and the main thread's is never given up */
}

static sp_thread *before;
static uint64_t ident_before;
static char name_before[64];

static void note_self(void)
{
    before = sp_thread_current();
    ident_before = sp_thread_ident(before);
    snprintf(name_before, sizeof name_before, "%s", sp_thread_name(before));
}

static void same_as_before(void)
{
    must_be_alone(before);
    must(sp_thread_ident(before) == ident_before && strcmp(sp_thread_name(before), name_before) == 0);
    must(sp_thread_set_name(before, "child") == SP_OK && strcmp(sp_thread_name(before), "child") == 0);
}

static sp_executor *pool;

static sp_status fork_inside(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    must(sp__self()->outer != NULL); /* on the stack of another */
    note_self();
    forked(same_as_before);
    return SP_OK;
}
SP_TASK(fork_inside, sp_none, sp_none);

static sp_status help(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_auto(sp_future) inner = sp_submit(pool, fork_inside);
    return sp_result(inner, NULL, SP_FOREVER);
}
SP_TASK(help, sp_none, sp_none);

static void helped(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) outer = sp_submit(pool, help);
    must(sp_result(outer, NULL, SP_FOREVER) == SP_OK);
    sp_executor_release(pool);
}

/* It asks for its handle in a task inside, and forks there. */
static void *fork_inside_with_handle(void *arg)
{
    pool = sp_inline_pool();
    sp_auto(sp_future) ran = sp_submit(pool, fork_inside);
    must(sp_result(ran, NULL, SP_FOREVER) == SP_OK);
    must(sp_thread_current() == before && !sp_thread_is_alive(NULL));
    sp_executor_release(pool);
    return arg;
}

static sp_status fork_without_handle(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    fork_and_return();
    return SP_OK;
}
SP_TASK(fork_without_handle, sp_none, sp_none);

/* The child has a handle before anybody asks; it is that of the thread, not of the task inside. */
static void *fork_inside_without_handle(void *arg)
{
    pool = sp_inline_pool();
    sp_future *ran = sp_submit(pool, fork_without_handle);
    if (is_child) {
        must_be_alone(sp_thread_current());
        _exit(0);
    }
    must(sp_result(ran, NULL, SP_FOREVER) == SP_OK);
    sp_future_release(ran);
    sp_executor_release(pool);
    return arg;
}

static void inside_foreign(void)
{
    test_join(test_thread(fork_inside_with_handle, NULL));
    test_join(test_thread(fork_inside_without_handle, NULL));
}

/* ---- the thread that keeps the time ---- */

static void count_as_forked(void)
{
    sp_event_set(&has_forked);
}

/* In the timer thread, which nobody lists before. */
static void fork_in_timer_thread(void)
{
    fork_and_return();
    if (!is_child) {
        count_as_forked();
        return;
    }
    must_be_alone(sp_thread_current());
    sp_timer *own = sp_timer_start(0, nothing);
    must(sp_timer_join(own, SP_FOREVER) == SP_OK);
    sp_timer_release(own);
}

static void (*in_drop)(void);

static void drop(void *arg)
{
    (void)arg;
    sp__fault_disarm();
    in_drop();
}

static sp_status nothing_owned(const sp_none *in, sp_none *out)
{
    return nothing(in, out);
}
SP_TASK_OWNING(nothing_owned, sp_none, sp_none, drop, NULL);

/* For the thread of its task there is no memory: its argument is dropped by the timer thread. */
static sp_timer *start_one_that_fails(void)
{
    sp_timer *first = sp_timer_start(0, nothing); /* the timer thread is there now */
    must(sp_timer_join(first, SP_FOREVER) == SP_OK);
    sp_timer_release(first);
    sp__fault_arm(UINT64_MAX, false);
    must(sp_timer_start(1000, nothing) != NULL);
    sp__fault_arm(sp__fault_calls() + 1, true);
    return sp_timer_start(0, nothing_owned);
}

static void timer_drop(void)
{
    in_drop = fork_in_timer_thread;
    sp_timer *fails = start_one_that_fails();
    must(fails != NULL);
    sp_event_wait(&has_forked, SP_FOREVER);
    must(sp_timer_join(fails, SP_FOREVER) == SP_OS_ERROR);
    _exit(0);
}

static void await_release(void)
{
    sp_event_wait(&may_end, SP_FOREVER);
}

static void fork_in_error_hook(const sp_error *error, void *context)
{
    (void)error, (void)context;
    must(!is_child);
    fork_in_timer_thread();
}

/* The timer thread gives up the last reference, and tells of the failure. */
static void timer_hook(void)
{
    in_drop = await_release;
    sp_set_unseen_error_hook(fork_in_error_hook, NULL);
    sp_timer_release(start_one_that_fails());
    sp_event_set(&may_end);
    sp_event_wait(&has_forked, SP_FOREVER);
    _exit(0);
}

enum { TIMER_HAS_RUN = 51 };

static sp_status end_process(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    _exit(TIMER_HAS_RUN);
}
SP_TASK(end_process, sp_none, sp_none);

/* On one CPU a thread that was just started runs when its maker waits, and hardly before. */
static void stay_on_one_cpu(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    must(sched_setaffinity(0, sizeof one, &one) == 0);
}

/* The child's only thread kept the time of the parent; it keeps none here, and waits for its timers as any other would. */
static void exit_in_timer_thread(void)
{
    if (is_forked_child_of_status(TIMER_HAS_RUN)) {
        stay_on_one_cpu();
        sp_timer_release(sp_timer_start(0.01, end_process));
        exit(0);
    }
    count_as_forked();
}

static void timer_exit(void)
{
    in_drop = exit_in_timer_thread;
    sp_timer *fails = start_one_that_fails();
    must(fails != NULL);
    sp_event_wait(&has_forked, SP_FOREVER);
    _exit(0);
}

/* ---- a timer of the parent's that could not be started ---- */

static sp_timer *failed;
static uint32_t told; /* atomic; in this process */

static void let_cancel(void)
{
    sp_event_set(&may_end);
}

static void count_error(const sp_error *error, void *context)
{
    (void)error, (void)context;
    sp__add_seq_cst(&told, 1);
}

static void release_failed(void)
{
    sp_timer_release(failed);
    must(sp__load_seq_cst(&told) == 0);
}

static void timer_failed(void)
{
    in_drop = let_cancel;
    sp_set_unseen_error_hook(count_error, NULL);
    failed = start_one_that_fails();
    sp_event_wait(&may_end, SP_FOREVER); /* it is not pending any more */
    test_await(sp_timer_cancel(failed)); /* it never runs; that is no look at its error */
    forked_to_exit(release_failed);
    sp_timer_release(failed);
    test_await(sp__load_seq_cst(&told) == 1); /* the timer thread may have been the last that held it */
    _exit(0);
}

/* ---- while the process exits ---- */

static void let_fork(void)
{
    sp_event_set(&may_end);
}

static void stay_silent(void)
{
}

static sp_status fork_when_set(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&may_end, SP_FOREVER);
    forked_to_exit(stay_silent);
    return SP_OK;
}
SP_TASK(fork_when_set, sp_none, sp_none);

/* The main thread has called exit(), and waits for the one that forks; that one's child exits as any. */
static void while_exiting(void)
{
    sp_thread_release(sp_start(fork_when_set));
    must(atexit(let_fork) == 0); /* before the library's handler, which the start has registered */
    exit(0);
}

/* ---- locks of the library's that others hold ---- */

static void held_locks(void)
{
    fork_waits_for(sp__registry_lock, sp__registry_unlock);
    fork_waits_for(sp__excepthook_before_fork, sp__excepthook_after_fork);
}

/* ---- the tests ---- */

static char *shared; /* a byte of both processes */

/* Longer than the child needs to get to its end, if that does not wait. */
static sp_status work_for_long(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_sleep(0.1);
    *shared = 1;
    return SP_OK;
}
SP_TASK(work_for_long, sp_none, sp_none);

static void begin_to_work(void)
{
    sp_thread_release(sp_start(work_for_long));
}

static void working(void)
{
    shared = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(shared != MAP_FAILED);
    begin_to_work(); /* the library is in use */
    must(sp_join_all(SP_FOREVER) && *shared == 1);
    *shared = 0;
    forked_to_exit(begin_to_work);
    must(*shared == 1);
}

static const struct child_case cases[] = {
    { "helped", helped },         { "inside foreign", inside_foreign },
    { "timer drop", timer_drop }, { "timer failed", timer_failed },
    { "timer hook", timer_hook }, { "timer exit", timer_exit },
    { "exiting", while_exiting }, { "held locks", held_locks },
    { "working", working },
};

static void a_thread_that_forks_in_a_task_on_its_stack_is_main_in_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "helped");
    fork_case_passes(program, "inside foreign");
}

static void the_thread_that_keeps_the_time_may_fork(void **state)
{
    (void)state;
    fork_case_passes(program, "timer drop");
    fork_case_passes(program, "timer hook");
    for (int i = 0; i < 3; i++)
        fork_case_passes(program, "timer exit");
}

static void a_failed_timer_of_the_parent_is_not_told_by_the_child(void **state)
{
    (void)state;
    fork_case_passes(program, "timer failed");
}

static void a_child_made_during_exit_may_exit(void **state)
{
    (void)state;
    fork_case_passes(program, "exiting");
}

static void a_fork_waits_for_who_changes_the_list_of_threads_or_the_hook(void **state)
{
    (void)state;
    fork_case_passes(program, "held locks");
}

static void the_exit_of_a_child_waits_for_its_threads(void **state)
{
    (void)state;
    fork_case_passes(program, "working");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_forks_in_a_task_on_its_stack_is_main_in_the_child),
        cmocka_unit_test(the_thread_that_keeps_the_time_may_fork),
        cmocka_unit_test(a_failed_timer_of_the_parent_is_not_told_by_the_child),
        cmocka_unit_test(a_child_made_during_exit_may_exit),
        cmocka_unit_test(the_exit_of_a_child_waits_for_its_threads),
        cmocka_unit_test(a_fork_waits_for_who_changes_the_list_of_threads_or_the_hook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
