/* Threads behave like threading.Thread.  process_test.c has the end of the process, enumerate_test.c who there is.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <spool.h>

#include "conformance/bunch.h"
#include "conformance/child.h"
#include "os/fault.h"

/* ---- arguments ---- */

struct nested {
    int numbers[2];
    struct {
        const char *text;
    } inner;
};
typedef const char *text;

static sp_status take_number(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(take_number, int, int);

static sp_status take_text(const text *in, text *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(take_text, text, text);

static sp_status take_nested(const struct nested *in, struct nested *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(take_nested, struct nested, struct nested);

static void arguments_arrive_whatever_their_type(void **state)
{
    (void)state;
    struct nested given = { { 1, 2 }, { "inner" } }, nested = { 0 };
    int number = 0;
    text string = NULL;
    sp_auto(sp_thread) first = sp_start(take_number, 1);
    sp_auto(sp_thread) second = sp_start(take_text, "str");
    sp_auto(sp_thread) third = sp_thread_start(NULL, &take_nested_sp_task, &given);
    given.numbers[0] = 9; /* the thread has its copy */
    assert_int_equal(sp_join(first, &number, SP_FOREVER), SP_OK);
    assert_int_equal(sp_join(second, &string, SP_FOREVER), SP_OK);
    assert_int_equal(sp_join(third, &nested, SP_FOREVER), SP_OK);
    assert_int_equal(number, 1);
    assert_string_equal(string, "str");
    assert_int_equal(nested.numbers[0] + nested.numbers[1], 3);
    assert_string_equal(nested.inner.text, "inner");
}

/* ---- ten threads, three at a time ---- */

enum { TASKS = 10 };

static sp_semaphore three = SP_BOUNDED_SEMAPHORE(3);
static sp_rlock mutex;
static int running;   /* guarded by mutex */
static bool too_many; /* guarded by mutex */

static sp_status work(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    char deep[32 * 1024]; /* every stack has room for this */
    memset(deep, 1, sizeof deep);
    SP_HOLD(&three);
    SP_WITH(&mutex)
    {
        too_many = too_many || ++running > 3;
    }
    for (int i = 0; i < 20; i++)
        sched_yield();
    SP_HOLD(&mutex);
    too_many = too_many || --running < 0 || deep[100] != deep[sizeof deep - 1];
    return SP_OK;
}
SP_TASK(work, sp_none, sp_none);

static void ten_with_stacks_of(size_t stack_size)
{
    sp_thread *threads[TASKS];
    char name[32];
    running = 0;
    too_many = false;
    for (int i = 0; i < TASKS; i++) {
        snprintf(name, sizeof name, "<thread %d>", i);
        threads[i] = sp_start_with(SP_THREAD(.name = name, .stack_size = stack_size), work);
        assert_string_equal(sp_thread_name(threads[i]), name);
        assert_int_not_equal(sp_thread_native_id(threads[i]), (uint64_t)getpid());
    }
    for (int i = 0; i < TASKS; i++) {
        assert_int_equal(sp_join(threads[i], NULL, SP_FOREVER), SP_OK);
        assert_false(sp_thread_is_alive(threads[i]));
        for (int k = 0; k < i; k++)
            assert_true(sp_thread_ident(threads[i]) != sp_thread_ident(threads[k]));
    }
    for (int i = 0; i < TASKS; i++)
        sp_thread_release(threads[i]);
    assert_int_equal(running, 0);
    assert_false(too_many);
}

static void ten_threads_with_stacks_of_all_sizes(void **state)
{
    (void)state;
    ten_with_stacks_of(0);
    ten_with_stacks_of(256 * 1024);
    ten_with_stacks_of(1024 * 1024);
}

/* ---- alive or not ---- */

static sp_event gate;

static sp_status pass_gate(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp_event_wait(&gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(pass_gate, sp_none, sp_none);

static void is_alive_turns_false_by_itself(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    sp_auto(sp_thread) thread = sp_start(pass_gate);
    assert_true(sp_thread_is_alive(thread));
    assert_int_equal(sp_thread_wait(thread, 0.01), SP_TIMEOUT);
    assert_true(sp_thread_is_alive(thread));
    sp_event_set(&gate);
    test_await(!sp_thread_is_alive(thread)); /* nobody joins */
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
}

/* The thread sanitizer holds against a forked child what threads did that it does not have. */
#ifndef __SANITIZE_THREAD__
static int is_alive(void *thread)
{
    return sp_thread_is_alive((sp_thread *)thread);
}

static void nobody_is_alive_in_a_forked_child(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    sp_auto(sp_thread) waiting = sp_start(pass_gate);
    for (long i = test_count(20); i > 0; i--) {
        sp_auto(sp_thread) ending = sp_start(take_number, 1);
        assert_int_equal(child_answer(is_alive, ending), 0);
        assert_int_equal(child_answer(is_alive, waiting), 0);
        assert_int_equal(sp_join(ending, NULL, SP_FOREVER), SP_OK);
    }
    assert_true(sp_thread_is_alive(waiting));
    sp_event_set(&gate);
    assert_int_equal(sp_join(waiting, NULL, SP_FOREVER), SP_OK);
}

static int fifty(void *context)
{
    (void)context;
    return 50;
}

static sp_status fork_and_ask(const sp_none *in, int *out)
{
    (void)in;
    *out = child_answer(fifty, NULL);
    return SP_OK;
}
SP_TASK(fork_and_ask, sp_none, int);

static void sixteen_threads_fork_at_once(void **state)
{
    (void)state;
    sp_thread *threads[16];
    for (int i = 0; i < 16; i++)
        threads[i] = sp_start(fork_and_ask);
    for (int i = 0; i < 16; i++) {
        int answer = 0;
        assert_int_equal(sp_join(threads[i], &answer, SP_FOREVER), SP_OK);
        assert_int_equal(answer, 50);
        sp_thread_release(threads[i]);
    }
}
#endif

/* ---- what is started is cleaned up ---- */

static uint32_t args_dropped, results_dropped; /* atomic */

static void drop_arg(void *bytes)
{
    (void)bytes;
    sp__add_seq_cst(&args_dropped, 1);
}

static void drop_result(void *bytes)
{
    (void)bytes;
    sp__add_seq_cst(&results_dropped, 1);
}

static void forget_drops(void)
{
    sp__store_release(&args_dropped, 0);
    sp__store_release(&results_dropped, 0);
}

static sp_status owner(const int *in, int *out)
{
    *out = *in;
    return *in > 0 ? SP_OK : sp_raise(SP_VALUE_ERROR, "run failed");
}
SP_TASK_OWNING(owner, int, int, drop_arg, drop_result);

static void a_start_that_fails_leaves_nothing(void **state)
{
    (void)state;
    for (uint64_t call = 1;; call++) {
        forget_drops();
        sp__fault_arm(call, true);
        errno = 0;
        sp_thread *thread = sp_start(owner, 1);
        int error = errno;
        uint64_t failed = sp__fault_disarm();
        if (thread == NULL) {
            assert_int_not_equal(error, 0);
            assert_int_equal(sp__load_acquire(&args_dropped), 1);
            assert_true(sp__load_acquire(&results_dropped) <= 1); /* zero bytes, if memory was there already */
            assert_true(sp_join_all(SP_NOWAIT));                  /* no thread is waited for */
            continue;
        }
        assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
        sp_thread_release(thread);
        if (failed == 0)
            break;
    }
}

static void what_a_failed_thread_owns_is_dropped_once(void **state)
{
    (void)state;
    for (int in = 0; in <= 1; in++) {
        forget_drops();
        sp_thread *thread = sp_start(owner, in);
        assert_int_equal(sp_join(thread, NULL, SP_FOREVER), in > 0 ? SP_OK : SP_VALUE_ERROR);
        sp_thread_release(thread);
        assert_int_equal(sp__load_acquire(&args_dropped), 1);
        assert_int_equal(sp__load_acquire(&results_dropped), 1);
    }
}

/* ---- threads of another's making ---- */

static void use_everything(void *context)
{
    sp_queue *queue = context;
    sp_lock lock = { 0 };
    int value = 0;
    SP_WITH(&lock)
    {
        sp_auto(sp_thread) thread = sp_start(take_number, 5);
        assert_int_equal(sp_join(thread, &value, SP_FOREVER), SP_OK);
    }
    assert_int_equal(sp_put(queue, &value, SP_FOREVER), SP_OK);
}

static void a_foreign_thread_may_use_everything(void **state)
{
    (void)state;
    sp_auto(sp_queue) queue = sp_queue_of(int);
    bunch_of(10, use_everything, queue);
    for (int i = 0, value = 0; i < 10; i++) {
        assert_int_equal(sp_get(queue, &value, SP_NOWAIT), SP_OK);
        assert_int_equal(value, 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(nobody_is_alive_in_a_forked_child),
        cmocka_unit_test(sixteen_threads_fork_at_once),
#endif
        cmocka_unit_test(arguments_arrive_whatever_their_type),
        cmocka_unit_test(ten_threads_with_stacks_of_all_sizes),
        cmocka_unit_test(is_alive_turns_false_by_itself),
        cmocka_unit_test(a_start_that_fails_leaves_nothing),
        cmocka_unit_test(what_a_failed_thread_owns_is_dropped_once),
        cmocka_unit_test(a_foreign_thread_may_use_everything),
    };
#ifdef __SANITIZE_THREAD__
    puts("not under the thread sanitizer: nobody_is_alive_in_a_forked_child, sixteen_threads_fork_at_once");
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
