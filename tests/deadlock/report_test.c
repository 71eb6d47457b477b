/* Waits that can never end: what is reported, how, and what is only refused.  What ends in abort is a child of its own.

   SPDX-License-Identifier: MIT */
#include "child.h"
#include "deadlock/arrive.h"

#include <spool.h>

#include "base/atomic.h"

static const char *program;
static sp_lock lock, other;
static sp_rlock rlock;
static sp_once once;
static sp_event gate, go;

static void hook(const char *report, void *context)
{
    fprintf(stderr, "%s: %s\n", (const char *)context, report);
}

static void leave(const char *report, void *context)
{
    hook(report, context);
    _exit(7);
}

/* ---- bodies of the children; none of them may come back ---- */

static sp_status take_both(const int *in, sp_none *out)
{
    (void)out;
    sp_lock *mine = *in == 0 ? &lock : &other, *its = *in == 0 ? &other : &lock;
    sp_lock_acquire(mine);
    arrive();
    sp_event_wait(&go, SP_FOREVER);
    sp_lock_acquire(its);
    return SP_OK;
}
SP_TASK(take_both, int, sp_none);

static void cross(void)
{
    sp_thread_release(sp_start_with(SP_THREAD(.name = "left"), take_both, 0));
    sp_thread_release(sp_start_with(SP_THREAD(.name = "right"), take_both, 1));
    sp_semaphore_acquire(&arrived);
    sp_semaphore_acquire(&arrived);
    sp_event_set(&go);
    sp_event_wait(&gate, SP_FOREVER);
}

static void cross_and_leave(void)
{
    sp_set_deadlock_hook(leave, "the hook says");
    cross();
}

static void cross_with_the_hook_taken_back(void)
{
    sp_set_deadlock_hook(leave, "the hook says");
    sp_set_deadlock_hook(NULL, NULL);
    cross();
}

static sp_status end_holding(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&lock);
    sp_rlock_acquire(&rlock);
    arrive();
    sp_event_wait(&go, SP_FOREVER);
    return SP_OK;
}
SP_TASK(end_holding, sp_none, sp_none);

static void end_thread(void)
{
    sp_thread *thread = sp_start(end_holding);
    sp_event_set(&go);
    if (sp_join(thread, NULL, SP_FOREVER) != SP_OK)
        _exit(96);
}

static void lock_of_an_ended_thread(void)
{
    end_thread();
    sp_lock_acquire(&lock);
}

static void rlock_of_an_ended_thread(void)
{
    end_thread();
    sp_rlock_acquire(&rlock);
}

static void *take_lock(void *arg)
{
    (void)arg;
    sp_lock_acquire(&lock);
    return NULL;
}

static void lock_of_an_ended_foreign_thread(void)
{
    test_join(test_thread(take_lock, NULL));
    sp_lock_acquire(&lock);
}

static void *exit_inside(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

static void end_thread_inside(void *context)
{
    (void)exit_inside(context);
}

static void *call_once(void *arg)
{
    sp_once_call(&once, end_thread_inside, arg);
    return NULL;
}

static void once_of_an_ended_thread(void)
{
    test_join(test_thread(call_once, NULL));
    sp_once_call(&once, end_thread_inside, NULL);
}

static sp_status take_other_then_wait(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&other);
    arrive();
    sp_lock_acquire(&lock);
    return SP_OK;
}
SP_TASK(take_other_then_wait, sp_none, sp_none);

/* main waits for `other`, whose owner waits for the lock of a thread that has ended: the end may come before or after. */
static void chain_to_an_ended_thread(void)
{
    sp_thread *thread = sp_start(end_holding);
    sp_semaphore_acquire(&arrived);
    sp_thread_release(sp_start_with(SP_THREAD(.name = "middle"), take_other_then_wait));
    sp_semaphore_acquire(&arrived);
    test_await(is_marked(&lock));
    sp_event_set(&go);
    if (sp_join(thread, NULL, SP_FOREVER) != SP_OK)
        _exit(96);
    sp_lock_acquire(&other);
}

/* Nobody begins to wait after the end: the thread that ends must look who waits for it. */
static void end_while_waited_for(void)
{
    sp_thread_release(sp_start(end_holding));
    sp_semaphore_acquire(&arrived);
    sp_thread_release(sp_start_with(SP_THREAD(.name = "middle"), take_other_then_wait));
    sp_semaphore_acquire(&arrived);
    test_await(is_marked(&lock));
    for (int i = 0; i < 1000; i++)
        sched_yield(); /* so that it usually sleeps; either order is reported */
    sp_event_set(&go);
    sp_event_wait(&gate, SP_FOREVER);
}

static void lock_again(void)
{
    sp_lock_acquire(&lock);
    if (sp_lock_acquire_timeout(&lock, SP_FOREVER))
        _exit(96);
}

static void call_again(void *context)
{
    sp_once_call(&once, call_again, context);
}

static void once_inside_itself(void)
{
    sp_once_call(&once, call_again, NULL);
}

static void *call_once_too(void *arg)
{
    sp_once_call(&once, call_again, NULL);
    return arg;
}

static void call_again_when_another_waits(void *context)
{
    const uint64_t parked = UINT64_C(1) << 63;
    test_thread(call_once_too, NULL);
    while (!(sp__load_acquire(&once.sp_word_) & parked)) /* its mark is all that is of interest */
        sched_yield();
    call_again(context);
}

static void once_inside_itself_while_another_waits(void)
{
    sp_once_call(&once, call_again_when_another_waits, NULL);
}

static sp_status call_once_in_task(const int *in, sp_none *out)
{
    (void)in, (void)out;
    sp_once_call(&once, call_again, NULL);
    return SP_OK;
}
SP_TASK(call_once_in_task, int, sp_none);

/* The task runs on the stack of the once, under a number of its own. */
static void run_task_that_calls_again(void *context)
{
    sp_executor *pool = sp_inline_pool_new(NULL);
    (void)context;
    sp_future_release(sp_submit(pool, call_once_in_task, 0));
}

static void once_inside_a_task_inside_itself(void)
{
    sp_once_call(&once, run_task_that_calls_again, NULL);
}

static sp_queue *queue;

static int compare_and_put(const void *a, const void *b)
{
    return sp_put(queue, (const int *)a, SP_NOWAIT) == SP_OK ? *(const int *)a - *(const int *)b : 0;
}

static void compare_that_touches_its_queue(void)
{
    queue = sp_queue_of(int, .order = SP_PRIORITY, .compare = compare_and_put);
    for (int i = 0; i < 3; i++)
        if (sp_put(queue, &i, SP_NOWAIT) != SP_OK)
            _exit(96);
}

/* ---- fork ---- */

static void fork_and_take(void (*take)(void))
{
    int status = 0;
    sp_thread_release(sp_start_with(SP_THREAD(.name = "keeper"), end_holding));
    sp_semaphore_acquire(&arrived);
    pid_t child = fork();
    if (child == 0) {
        take();
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        _exit(95);
    if (sp_lock_acquire_timeout(&lock, SP_NOWAIT)) /* the parent's is as it was */
        _exit(94);
    abort();
}

static void take_lost_lock(void)
{
    if (sp_lock_acquire_timeout(&lock, SP_NOWAIT) || sp_lock_acquire_timeout(&lock, 0.001))
        _exit(93);
    sp_lock_acquire(&lock);
}

static void take_lost_rlock(void)
{
    sp_rlock_acquire(&rlock);
}

static void lock_lost_by_fork(void)
{
    fork_and_take(take_lost_lock);
}

static void rlock_lost_by_fork(void)
{
    fork_and_take(take_lost_rlock);
}

static sp_status want_the_lock(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&lock);
    return SP_OK;
}
SP_TASK(want_the_lock, sp_none, sp_none);

static void hold_what_a_thread_wants(void)
{
    sp_lock_acquire(&lock);
    sp_thread_release(sp_start_with(SP_THREAD(.name = "wanting"), want_the_lock));
    while (!is_marked(&lock))
        sched_yield();
}

static void join_all_with_a_lock(void)
{
    hold_what_a_thread_wants();
    (void)sp_join_all(SP_FOREVER);
}

static void exit_with_a_lock(void)
{
    hold_what_a_thread_wants();
    exit(0);
}

static const struct child_case cases[] = {
    { "join all", join_all_with_a_lock },
    { "exit", exit_with_a_lock },
    { "cross", cross },
    { "cross, leave", cross_and_leave },
    { "cross, no hook", cross_with_the_hook_taken_back },
    { "ended", lock_of_an_ended_thread },
    { "ended, rlock", rlock_of_an_ended_thread },
    { "ended, foreign", lock_of_an_ended_foreign_thread },
    { "ended, once", once_of_an_ended_thread },
    { "ended, chain", chain_to_an_ended_thread },
    { "ended, late", end_while_waited_for },
    { "own", lock_again },
    { "own, once", once_inside_itself },
    { "own, once, two", once_inside_itself_while_another_waits },
    { "own, once, task", once_inside_a_task_inside_itself },
    { "compare", compare_that_touches_its_queue },
    { "fork", lock_lost_by_fork },
    { "fork, rlock", rlock_lost_by_fork },
};

static void aborts(const char *name, const char *words)
{
    struct child_end end = child_run(program, name, NULL);
    child_aborted(&end, words);
}

/* ---- the tests ---- */

static void without_a_hook_the_cycle_is_printed_and_the_process_aborts(void **state)
{
    char left[64], right[64];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct child_end end = child_run(program, i == 0 ? "cross" : "cross, no hook", NULL);
        child_aborted(&end, "spool: deadlock: a cycle of 2: ");
        snprintf(left, sizeof left, "left (id ");
        snprintf(right, sizeof right, "held by right (id ");
        assert_true(strstr(end.said, left) != NULL && strstr(end.said, right) != NULL);
    }
}

static void a_hook_may_end_the_process_itself(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "cross, leave", NULL);
    assert_true(!end.hung && WIFEXITED(end.status));
    assert_int_equal(WEXITSTATUS(end.status), 7);
    assert_non_null(strstr(end.said, "the hook says: a cycle of 2: "));
    assert_null(strstr(end.said, "spool: deadlock")); /* not the default as well */
}

static void a_chain_to_a_thread_that_ended_holding_is_reported(void **state)
{
    (void)state;
    aborts("ended", "waits for the lock");
    aborts("ended", "which has ended");
    aborts("ended, rlock", "which has ended");
    aborts("ended, foreign", "which has ended");
    aborts("ended, once", "which has ended");
    aborts("ended, chain", "which has ended");
    aborts("ended, chain", "middle (id ");
}

static void a_thread_that_ends_with_a_lock_somebody_waits_for_is_reported(void **state)
{
    (void)state;
    aborts("ended, late", "which has ended");
    aborts("ended, late", "middle (id ");
}

static void whoever_waits_for_all_threads_with_a_lock_that_one_wants_is_reported(void **state)
{
    (void)state;
    aborts("join all", "waits for the end of the thread");
    aborts("join all", "wanting (id ");
    aborts("exit", "waits for the end of the thread");
}

static void ones_own_lock_or_once_is_reported(void **state)
{
    (void)state;
    aborts("own", "which it holds itself");
    aborts("own, once", "from inside its own function");
    aborts("own, once, two", "from inside its own function");
    aborts("own, once, task", "from inside its own function");
}

static void a_compare_that_touches_its_queue_is_reported(void **state)
{
    (void)state;
    aborts("compare", "which it holds itself");
}

static void what_a_fork_has_lost_is_reported_in_the_child(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    puts("not under the thread sanitizer: fork");
    return;
#endif
    aborts("fork", "which has ended");
    aborts("fork, rlock", "which has ended");
}

/* ---- refused, not reported ---- */

enum { MOST = 5 };
static sp_future *ring[MOST];
static int members;

static sp_status wait_for_next(const int *in, sp_status *out)
{
    sp_event_wait(&go, SP_FOREVER);
    sp_future *next = ring[(*in + 1) % members];
    *out = *in % 2 ? sp_wait(&next, 1, SP_ALL_COMPLETED, SP_FOREVER) : sp_result(next, NULL, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_next, int, sp_status);

static void never_called(const char *report, void *context)
{
    (void)context;
    fprintf(stderr, "reported: %s\n", report);
}

static void a_cycle_of_futures_is_refused_to_one_of_them_and_not_reported(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    sp_set_deadlock_hook(never_called, NULL);
    for (long i = test_count(300); i > 0; i--) {
        members = 2 + (int)(test_random(&random) % (MOST - 1));
        sp_event_clear(&go);
        sp_executor *pool = sp_thread_pool(.max_workers = MOST);
        for (int k = 0; k < members; k++)
            ring[k] = sp_submit(pool, wait_for_next, k);
        sp_event_set(&go);
        int told = 0;
        for (int k = 0; k < members; k++) {
            sp_status status = SP_OK;
            assert_int_equal(sp_result(ring[k], &status, SP_FOREVER), SP_OK);
            told += status == SP_DEADLOCK;
            assert_true(status == SP_DEADLOCK || status == SP_OK);
        }
        assert_int_equal(told, 1);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
        sp_release_all(ring, (size_t)members);
    }
    sp_set_deadlock_hook(NULL, NULL);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_hook_the_cycle_is_printed_and_the_process_aborts),
        cmocka_unit_test(a_hook_may_end_the_process_itself),
        cmocka_unit_test(a_chain_to_a_thread_that_ended_holding_is_reported),
        cmocka_unit_test(a_thread_that_ends_with_a_lock_somebody_waits_for_is_reported),
        cmocka_unit_test(whoever_waits_for_all_threads_with_a_lock_that_one_wants_is_reported),
        cmocka_unit_test(ones_own_lock_or_once_is_reported),
        cmocka_unit_test(a_compare_that_touches_its_queue_is_reported),
        cmocka_unit_test(what_a_fork_has_lost_is_reported_in_the_child),
        cmocka_unit_test(a_cycle_of_futures_is_refused_to_one_of_them_and_not_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
