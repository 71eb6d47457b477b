/* A task calls exit(): its worker runs the exit handlers, and nobody waits for it, or runs its finalizer there.  Each case is a
   process of its own.

   SPDX-License-Identifier: MIT */
#include "child.h"
#include "conformance/bunch.h"

#include <spool.h>

#include "executor/pool.h"

static const char *program;
static sp_executor *pool, *inline_pool;

static void say_unless(bool condition, const char *what)
{
    if (!condition)
        fprintf(stderr, "not so: %s\n", what);
}

static void say_finalized(void *arg)
{
    (void)arg;
    fprintf(stderr, "finalized\n");
}

static sp_status end_process(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    exit(7);
}
SP_TASK(end_process, sp_none, sp_none);

/* The process is ended by the task, whose future is done before that. */
static void wait_for_end(sp_future *future)
{
    sp_future_release(future);
    for (;;)
        pause();
}

/* ---- what the worker was ---- */

static void exit_in_worker(void)
{
    pool = sp_thread_pool(.max_workers = 1, .finalizer = say_finalized);
    wait_for_end(sp_submit(pool, end_process));
}

/* ---- who waits for the pool ---- */

static sp_thread *closing;
static long closer; /* atomic; the thread's number with the system */

static sp_status shut_down(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp__store_release(&closer, syscall(SYS_gettid)); /* pairs with the acquire of main */
    say_unless(sp_shutdown(pool) == SP_OK, "another thread waits for the end of the pool");
    return SP_OK;
}
SP_TASK(shut_down, sp_none, sp_none);

/* Somebody waits for the thread, exit() itself or a handler, and the thread waits for the pool. */
static void begin_to_close(bool is_daemon)
{
    closing = sp_start_with(SP_THREAD(.daemon = is_daemon), shut_down);
    test_await(sp__load_acquire(&closer) != 0 && thread_sleeps(closer)); /* acquire: pairs with the release above */
}

static sp_event may_exit, may_end;
static long exiting; /* atomic; as above */

static sp_status end_process_when_told(const sp_none *in, sp_none *out)
{
    sp_event_wait(&may_exit, SP_FOREVER);
    sp__store_release(&exiting, syscall(SYS_gettid)); /* pairs with the acquire of main */
    return end_process(in, out);
}
SP_TASK(end_process_when_told, sp_none, sp_none);

static sp_status wait_for_end_of_wait(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&may_end, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_end_of_wait, sp_none, sp_none);

static void join_in_handler(void)
{
    say_unless(sp_thread_wait(closing, SP_FOREVER) == SP_OK, "a handler waits for that thread");
}

/* The pool does not end before its other worker does. */
static void exit_beside_shutdown(void)
{
    say_unless(atexit(join_in_handler) == 0, "a handler");
    pool = sp_thread_pool(.max_workers = 2);
    sp_future *ends = sp_submit(pool, end_process_when_told), *other = sp_submit(pool, wait_for_end_of_wait);
    test_await(sp_future_running(ends) && sp_future_running(other));
    begin_to_close(true);
    sp_event_set(&may_exit);
    test_await(sp__load_acquire(&exiting) != 0 && thread_sleeps(exiting)); /* acquire: pairs with the release above */
    sp_event_set(&may_end);
    wait_for_end(ends);
}

/* Waits in exit() are no waits of the task. */
static void look_at_runner(void)
{
    const struct sp__runner *self = sp__self();
    say_unless(self->hooks == NULL && self->worker == NULL, "nothing on the stack is the worker's any more");
}

static sp_status end_process_inside(const bool *on_inline, sp_none *out)
{
    (void)out;
    sp_event_wait(&may_exit, SP_FOREVER);
    sp_auto(sp_future) inner = sp_submit(*on_inline ? inline_pool : pool, end_process);
    return sp_result(inner, NULL, SP_FOREVER);
}
SP_TASK(end_process_inside, bool, sp_none);

/* The worker leaves its pool, whatever runs on its stack. */
static void exit_inside(bool on_inline)
{
    say_unless(atexit(look_at_runner) == 0, "a handler");
    inline_pool = sp_inline_pool();
    pool = sp_thread_pool(.max_workers = 1);
    sp_future *ends = sp_submit(pool, end_process_inside, on_inline);
    if (on_inline)
        begin_to_close(false);
    sp_event_set(&may_exit);
    wait_for_end(ends);
}

static void exit_in_inline_task(void)
{
    exit_inside(true);
}

static void exit_in_helped_task(void)
{
    exit_inside(false);
}

static void exit_at_end(void *value)
{
    (void)value;
    exit(7);
}
static sp_local last_words = SP_LOCAL(int, NULL, exit_at_end);

static sp_status use_local(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_local_get(&last_words) != NULL ? SP_OK : SP_MEMORY_ERROR;
}
SP_TASK(use_local, sp_none, sp_none);

/* The worker ends when a thread that exit() waits for sleeps until it has left. */
static void exit_at_the_end_of(sp_future *task)
{
    say_unless(sp_result(task, NULL, SP_FOREVER) == SP_OK, "a task");
    begin_to_close(false);
    wait_for_end(task);
}

static void exit_in_finaliser_of_local(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    exit_at_the_end_of(sp_submit(pool, use_local));
}

static pthread_key_t key;

static sp_status use_key(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return pthread_setspecific(key, &key) == 0 ? SP_OK : SP_MEMORY_ERROR;
}
SP_TASK(use_key, sp_none, sp_none);

static void exit_in_destructor_of_key(void)
{
    say_unless(pthread_key_create(&key, exit_at_end) == 0, "a key");
    pool = sp_thread_pool(.max_workers = 1);
    exit_at_the_end_of(sp_submit(pool, use_key));
}

static void shut_down_in_handler(void)
{
    say_unless(sp_shutdown(pool) == SP_DEADLOCK, "a handler in the worker is refused the wait for its pool");
}

static void exit_with_handler(void)
{
    say_unless(atexit(shut_down_in_handler) == 0, "a handler");
    pool = sp_thread_pool(.max_workers = 1);
    wait_for_end(sp_submit(pool, end_process));
}

/* ---- the tests ---- */

static const struct child_case cases[] = {
    { "worker", exit_in_worker },         { "inline", exit_in_inline_task }, { "helped", exit_in_helped_task },
    { "shutdown", exit_beside_shutdown }, { "handler", exit_with_handler },  { "local", exit_in_finaliser_of_local },
    { "key", exit_in_destructor_of_key },
};

static void exits_in_silence(const char *name)
{
    struct child_end end = child_run(program, name, NULL);
    if (end.hung || !WIFEXITED(end.status) || WEXITSTATUS(end.status) != 7 || end.length != 0)
        fail_msg("%s: hung %d, status %x, said '%s'", name, end.hung, (unsigned)end.status, end.said);
}

static void a_worker_that_ends_the_process_is_not_finalized(void **state)
{
    (void)state;
    exits_in_silence("worker");
}

static void a_worker_leaves_its_pool_when_an_inline_task_in_it_ends_the_process(void **state)
{
    (void)state;
    exits_in_silence("inline");
}

static void a_worker_leaves_its_pool_when_a_task_on_another_ends_the_process(void **state)
{
    (void)state;
    exits_in_silence("helped");
}

static void an_exit_handler_in_a_worker_may_wait_for_a_thread_that_waits_for_its_pool(void **state)
{
    (void)state;
    exits_in_silence("shutdown");
}

static void an_exit_handler_in_a_worker_does_not_wait_for_its_pool(void **state)
{
    (void)state;
    exits_in_silence("handler");
}

static void a_worker_that_ends_the_process_at_its_own_end_has_left_its_pool(void **state)
{
    (void)state;
    exits_in_silence("local");
    exits_in_silence("key");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_ends_the_process_is_not_finalized),
        cmocka_unit_test(a_worker_leaves_its_pool_when_an_inline_task_in_it_ends_the_process),
        cmocka_unit_test(a_worker_leaves_its_pool_when_a_task_on_another_ends_the_process),
        cmocka_unit_test(an_exit_handler_in_a_worker_may_wait_for_a_thread_that_waits_for_its_pool),
        cmocka_unit_test(an_exit_handler_in_a_worker_does_not_wait_for_its_pool),
        cmocka_unit_test(a_worker_that_ends_the_process_at_its_own_end_has_left_its_pool),
    };
    return cmocka_run_group_tests_name("exit", tests, NULL, NULL);
}
