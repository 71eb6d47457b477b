/* The graph of waits in the child of a fork: nothing is left in it of the parent's threads, whose stacks others use now, and
   what their tasks held is lost.

   SPDX-License-Identifier: MIT */
#include "deadlock/waiting.h"
#include "fork.h"

#include <spool.h>

#include <sys/mman.h>

#include "thread/thread.h"

static const char *program;
static sp_executor *pool;

/* ---- a lock of a task that another one ran while it waited ---- */

static sp_status run_hold_x(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_auto(sp_future) inner = sp_submit(pool, hold_x);
    return sp_result(inner, NULL, SP_FOREVER);
}
SP_TASK(run_hold_x, sp_none, sp_none);

static void end_well(const char *report, void *context)
{
    (void)context;
    must(strstr(report, "waits for the lock") != NULL && strstr(report, "which has ended") != NULL);
    _exit(0);
}

static void take_lost_lock(void)
{
    sp_set_deadlock_hook(end_well, NULL);
    must(!sp_lock_acquire_timeout(&x, 0.001));
    sp_lock_acquire(&x);
    must(false);
}

static void lost_lock(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    sp_future *outer = sp_submit(pool, run_hold_x);
    sp_semaphore_acquire(&arrived);
    must(!sp__is_thread_id(x.sp_word_ & (UINT64_MAX >> 3)));
    forked(take_lost_lock);
    sp_event_set(&go);
    must(sp_result(outer, NULL, 20.0) == SP_OK);
    sp_future_release(outer);
    sp_executor_release(pool);
}

/* ---- threads that slept in the graph ---- */

enum { WAITERS = 5 };

static sp_status want_x(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&x);
    sp_lock_release(&x);
    return SP_OK;
}
SP_TASK(want_x, sp_none, sp_none);

static sp_status want_z(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&z);
    sp_lock_release(&z);
    return SP_OK;
}
SP_TASK(want_z, sp_none, sp_none);

static sp_status want_idle_pool(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_executor_wait_idle(pool, SP_FOREVER) ? SP_OK : SP_DEADLOCK;
}
SP_TASK(want_idle_pool, sp_none, sp_none);

static sp_status hold_pool(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    (void)sp_event_wait(&go, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold_pool, sp_none, sp_none);

static sp_status hold_y_until_main_waits(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&y);
    arrive();
    await_waiting(of_main);
    sp_lock_release(&y);
    return SP_OK;
}
SP_TASK(hold_y_until_main_waits, sp_none, sp_none);

static sp_status hold_pool_until_main_waits(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    await_waiting(of_main);
    return SP_OK;
}
SP_TASK(hold_pool_until_main_waits, sp_none, sp_none);

/* The stacks of the parent's threads are given to new ones, which write all over them. */
static pthread_barrier_t all_there;

static void *write_over_stack(void *arg)
{
    char all[64 * 1024];
    memset(all, 0xa5, sizeof all);
    __asm__ volatile("" : : "r"(all) : "memory");
    (void)pthread_barrier_wait(&all_there);
    return arg;
}

static void write_over_stacks(void)
{
    enum { N = WAITERS + 3 };
    pthread_t threads[N];
    must(pthread_barrier_init(&all_there, NULL, N) == 0);
    for (int i = 0; i < N; i++)
        threads[i] = test_thread(write_over_stack, NULL);
    for (int i = 0; i < N; i++)
        test_join(threads[i]);
}

/* Main has x, and has been waited for: all that is over, but it has x. */
static void wait_in_child(void)
{
    write_over_stacks();
    of_main = sp__self();
    sp_thread *wants = sp_start(want_x);
    await_waiting(&wants->own);
    sp_thread *has_y = sp_start(hold_y_until_main_waits);
    sp_semaphore_acquire(&arrived);
    sp_lock_acquire(&y);
    sp_lock_release(&y);
    sp_lock_release(&x);
    end_thread(wants);
    end_thread(has_y);
}

/* It is waited for again, so that it looks at all that sleep. */
static void walk_in_child(void)
{
    write_over_stacks();
    of_main = sp__self();
    sp_lock_acquire(&z);
    sp_thread *wants = sp_start(want_z);
    await_waiting(&wants->own);
    sp_executor *own = sp_thread_pool(.max_workers = 1);
    must(sp_post(own, hold_pool_until_main_waits) == SP_OK);
    must(sp_executor_wait_idle(own, SP_FOREVER));
    sp_lock_release(&z);
    end_thread(wants);
    sp_executor_release(own);
}

static void sleepers(void)
{
    sp_thread *threads[WAITERS];
    pool = sp_thread_pool(.max_workers = 1);
    must(sp_post(pool, hold_pool) == SP_OK);
    sp_lock_acquire(&x);
    for (int i = 0; i < WAITERS; i++) {
        threads[i] = i % 2 == 0 ? sp_start(want_x) : sp_start(want_idle_pool);
        await_waiting(&threads[i]->own);
    }
    forked(wait_in_child);
    forked(walk_in_child);
    sp_lock_release(&x);
    sp_event_set(&go);
    for (int i = 0; i < WAITERS; i++)
        end_thread(threads[i]);
    sp_executor_release(pool);
}

/* ---- a thread that slept for what somebody has who is not known, as he has not waited himself ---- */

static sp_lock *lock_in_child; /* in memory that is gone in the child */
enum { PAGE = 64 * 1024 };     /* bytes; a multiple of every page size */

static sp_status want_lock_in_child(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(lock_in_child);
    sp_lock_release(lock_in_child);
    return SP_OK;
}
SP_TASK(want_lock_in_child, sp_none, sp_none);

static uint64_t nobody(const void *object)
{
    (void)object;
    return 0;
}

/* Each has a fresh number, and waits for the first time: who sleeps for one of that number is looked at. */
static void many_wait_in_child(void)
{
    enum { MANY = 20000 };
    must(mprotect(lock_in_child, PAGE, PROT_NONE) == 0);
    for (int i = 0; i < MANY; i++) {
        struct sp__runner runner;
        struct sp__edge edge = { .does = "waits for", .object = &edge, .owner = nobody };
        sp__runner_push(&runner, "one of many");
        must(sp__edge_publish(&edge));
        sp__edge_withdraw(&edge);
        sp__runner_pop(&runner);
    }
}

static sp_status hold_and_fork(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(lock_in_child);
    sp_thread *wants = sp_start(want_lock_in_child);
    await_waiting(&wants->own);
    forked(many_wait_in_child);
    sp_lock_release(lock_in_child);
    end_thread(wants);
    return SP_OK;
}
SP_TASK(hold_and_fork, sp_none, sp_none);

static void unknown_owner(void)
{
    lock_in_child = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(lock_in_child != MAP_FAILED);
    sp_executor *inside = sp_inline_pool();
    must(sp_post(inside, hold_and_fork) == SP_OK);
    sp_executor_release(inside);
}

/* ---- the tests ---- */

static const struct child_case cases[] = { { "lost lock", lost_lock },
                                           { "sleepers", sleepers },
                                           { "unknown", unknown_owner } };

static void a_lock_that_a_task_of_the_parent_held_is_reported(void **state)
{
    (void)state;
    fork_case_passes(program, "lost lock");
}

static void threads_of_the_parent_that_slept_are_forgotten(void **state)
{
    (void)state;
    fork_case_passes(program, "sleepers");
}

static void threads_that_slept_for_what_a_task_of_the_parent_held_are_forgotten(void **state)
{
    (void)state;
    fork_case_passes(program, "unknown");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_that_a_task_of_the_parent_held_is_reported),
        cmocka_unit_test(threads_of_the_parent_that_slept_are_forgotten),
        cmocka_unit_test(threads_that_slept_for_what_a_task_of_the_parent_held_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
