/* Threads with results.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <limits.h>

#include <string.h>
#include <unistd.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"
#include "thread/thread.h"

static sp_event gate;

static sp_status halve(const int *in, int *out)
{
    if (*in % 2 != 0)
        return sp_raise(SP_VALUE_ERROR, "%d is odd", *in);
    *out = *in / 2;
    return SP_OK;
}
SP_TASK(halve, int, int);

static sp_status wait_at_gate(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp_event_wait(&gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_at_gate, sp_none, sp_none);

static void join_gives_the_result_again_and_again(void **state)
{
    (void)state;
    sp_auto(sp_thread) thread = sp_start(halve, 8);
    int value = 0;
    assert_int_equal(sp_join(thread, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 4);
    value = 0;
    assert_int_equal(sp_join(thread, &value, SP_NOWAIT), SP_OK);
    assert_int_equal(value, 4);
    assert_int_equal(sp_join(thread, NULL, SP_NOWAIT), SP_OK);
    assert_int_equal(sp_thread_wait(thread, SP_NOWAIT), SP_OK);
    assert_null(sp_thread_error(thread));
    assert_false(sp_thread_is_alive(thread));
}

static void join_gives_the_error(void **state)
{
    (void)state;
    sp_auto(sp_thread) thread = sp_start(halve, 7);
    int value = 1;
    assert_int_equal(sp_join(thread, &value, SP_FOREVER), SP_VALUE_ERROR);
    assert_int_equal(value, 1);
    assert_string_equal(sp_thread_error(thread)->message, "7 is odd");
    assert_string_equal(sp_thread_error(thread)->task, "halve");
}

static void join_timeout_type_error_value_error_memory_error(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    sp_auto(sp_thread) thread = sp_start(wait_at_gate);
    int wrong = 0;
    assert_int_equal(sp_join(thread, NULL, SP_NOWAIT), SP_TIMEOUT);
    double begin = sp_monotonic();
    assert_int_equal(sp_join(thread, NULL, 0.01), SP_TIMEOUT);
    assert_true(sp_monotonic() - begin >= 0.01);
    assert_int_equal(sp_thread_wait(thread, 0.001), SP_TIMEOUT);
    assert_int_equal(sp_join(thread, &wrong, SP_FOREVER), SP_TYPE_ERROR);
    assert_int_equal(sp_join(thread, NULL, strtod("nan", NULL)), SP_VALUE_ERROR);
    assert_int_equal(sp_thread_wait(thread, strtod("nan", NULL)), SP_VALUE_ERROR);
    assert_int_equal(sp_thread_join(NULL, NULL, 0, SP_FOREVER), SP_MEMORY_ERROR);
    assert_int_equal(sp_thread_wait(NULL, SP_FOREVER), SP_MEMORY_ERROR);
    assert_true(sp_thread_is_alive(thread));
    assert_null(sp_thread_error(thread));
    sp_event_set(&gate);
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
}

static sp_thread *self;

static sp_status join_self(const sp_none *in, sp_status *out)
{
    (void)in;
    sp_event_wait(&gate, SP_FOREVER);
    *out = sp_join(self, NULL, SP_FOREVER);
    return sp_thread_wait(self, 0.5);
}
SP_TASK(join_self, sp_none, sp_status);

static void join_of_oneself_is_deadlock(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    self = sp_start(join_self);
    sp_event_set(&gate);
    assert_int_equal(sp_join(self, NULL, SP_FOREVER), SP_DEADLOCK); /* what its wait said */
    sp_thread_release(self);
}

static void *join_it(void *arg)
{
    int value = 0;
    assert_int_equal(sp_join((sp_thread *)arg, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 21);
    return NULL;
}

static void several_threads_join_one(void **state)
{
    (void)state;
    for (long i = test_count(200); i > 0; i--) {
        sp_auto(sp_thread) thread = sp_start(halve, 42);
        pthread_t joiners[3];
        for (int k = 0; k < 3; k++)
            joiners[k] = test_thread(join_it, thread);
        for (int k = 0; k < 3; k++)
            test_join(joiners[k]);
    }
}

/* ---- names and numbers ---- */

static void os_name(uint64_t native_id, char name[32])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%" PRIu64 "/comm", native_id);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(name, 32, file));
    fclose(file);
    name[strcspn(name, "\n")] = '\0';
}

static void names_and_numbers(void **state)
{
    (void)state;
    char name[32];
    sp_event_clear(&gate);
    sp_auto(sp_thread) plain = sp_start(wait_at_gate);
    sp_auto(sp_thread)
        named = sp_start_with(SP_THREAD(.name = "poll", .daemon = true, .stack_size = 65536), wait_at_gate);
    assert_non_null(strstr(sp_thread_name(plain), "Thread-"));
    assert_non_null(strstr(sp_thread_name(plain), "(wait_at_gate)"));
    assert_string_equal(sp_thread_name(named), "poll");
    assert_true(sp_thread_is_daemon(named));
    assert_false(sp_thread_is_daemon(plain));
    assert_true(sp_thread_ident(plain) != 0 && sp_thread_ident(plain) != sp_thread_ident(named));
    assert_true(sp_thread_native_id(named) != (uint64_t)getpid());
    os_name(sp_thread_native_id(named), name);
    assert_string_equal(name, "poll");
    const char *before = sp_thread_name(named);
    assert_int_equal(sp_thread_set_name(named, "fourteen bytes\xC3\xBC"
                                               "x"),
                     SP_OK);
    os_name(sp_thread_native_id(named), name);
    assert_string_equal(name, "fourteen bytes"); /* the character that does not fit is left out whole */
    assert_string_equal(before, "poll");
    assert_int_equal(sp_thread_set_name(named, NULL), SP_VALUE_ERROR);
    assert_int_equal(sp_thread_set_name(NULL, "x"), SP_VALUE_ERROR);
    sp__fault_arm(1, true);
    assert_int_equal(sp_thread_set_name(named, "x"), SP_MEMORY_ERROR);
    sp__fault_disarm();
    sp_event_set(&gate);
    assert_int_equal(sp_join(plain, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_join(named, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(sp_thread_set_name(named, "late"), SP_OK);
    assert_string_equal(sp_thread_name(named), "late");
}

/* ---- errors nobody looked at ---- */

static uint32_t hooked; /* atomic */
static char hooked_message[64];
static sp_lock hook_lock;

static void note_error(sp_thread *thread, const sp_error *error, void *context)
{
    assert_ptr_equal(context, &gate);
    assert_non_null(sp_thread_name(thread));
    SP_HOLD(&hook_lock); /* several threads may end at once */
    snprintf(hooked_message, sizeof hooked_message, "%s", error->message);
    sp__add_seq_cst(&hooked, 1);
}

static sp_status fail_at_gate(const sp_none *in, sp_none *out)
{
    (void)in;
    (void)out;
    sp_event_wait(&gate, SP_FOREVER);
    return sp_raise(SP_RUNTIME_ERROR, "oops");
}
SP_TASK(fail_at_gate, sp_none, sp_none);

static void the_excepthook_is_told_once_of_what_nobody_saw(void **state)
{
    (void)state;
    sp_set_excepthook(note_error, &gate);
    sp_event_set(&gate);
    sp_thread *thread = sp_start(fail_at_gate); /* seen by join */
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_RUNTIME_ERROR);
    sp_thread_release(thread);
    assert_int_equal(hooked, 0);
    thread = sp_start(fail_at_gate); /* only waited for */
    assert_int_equal(sp_thread_wait(thread, SP_FOREVER), SP_OK);
    sp_thread_release(sp_thread_retain(thread));
    assert_int_equal(hooked, 0);
    sp_thread_release(thread);
    assert_int_equal(hooked, 1);
    assert_string_equal(hooked_message, "oops");
    sp_event_clear(&gate);
    thread = sp_start(fail_at_gate); /* released before it ends */
    sp_thread_release(thread);
    sp_event_set(&gate);
    assert_true(sp_join_all(SP_FOREVER));
    assert_int_equal(hooked, 2);
    for (long i = test_count(300); i > 0; i--) /* released while it ends */
        sp_thread_release(sp_start(fail_at_gate));
    assert_true(sp_join_all(SP_FOREVER));
    assert_int_equal(hooked, 2 + (uint32_t)test_count(300));
    sp_set_excepthook(NULL, NULL);
}

/* ---- ownership ---- */

static uint32_t drops; /* atomic */

static void count_drop(void *bytes)
{
    (void)bytes;
    sp__add_seq_cst(&drops, 1);
}

static sp_status owner(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK_OWNING(owner, int, int, count_drop, count_drop);

static void owned_data_is_dropped_once(void **state)
{
    (void)state;
    sp_thread *thread = sp_start(owner, 3);
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(drops, 0);
    sp_thread_release(thread);
    assert_int_equal(drops, 2);
    sp_thread_release(sp_start(owner, 3));
    assert_true(sp_join_all(SP_FOREVER));
    assert_int_equal(drops, 4);
}

static void join_all_waits_for_threads_and_pools(void **state)
{
    (void)state;
    sp_event_clear(&gate);
    sp_thread_release(sp_start_with(SP_THREAD(.daemon = true), wait_at_gate));
    assert_true(sp_join_all(0.5)); /* daemons are not waited for */
    sp_thread_release(sp_start(wait_at_gate));
    assert_false(sp_join_all(0.01));
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, wait_at_gate);
    sp_event_set(&gate);
    assert_true(sp_join_all(SP_FOREVER));
    assert_true(sp_future_done(future));
    assert_int_equal(sp_post(pool, halve, 2), SP_SHUT_DOWN);
}

/* ---- failures ---- */

static void one_round(void)
{
    sp_thread *thread = sp_start(halve, 8);
    int value = 0;
    if (thread == NULL)
        return;
    assert_int_equal(sp_join(thread, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 4);
    sp_thread *failing = sp_start(halve, 7);
    if (failing != NULL)
        assert_int_equal(sp_join(failing, &value, SP_FOREVER), SP_VALUE_ERROR);
    sp_thread_release(failing);
    sp_thread_release(thread);
}

static void every_call_may_fail(void **state)
{
    (void)state;
    one_round();
    for (int for_ever = 0; for_ever <= 1; for_ever++) {
        for (uint64_t call = 1;; call++) {
            sp__fault_arm(call, for_ever);
            one_round();
            if (sp__fault_disarm() == 0)
                break;
        }
    }
}

static size_t names_of(const sp_thread *thread)
{
    size_t count = 0;
    for (const struct sp__thread_name *name = thread->name; name != NULL; name = name->older)
        count++;
    return count;
}

enum { KEPT = 64 };

static void rename_to(sp_thread *thread, long number)
{
    char text[32];
    snprintf(text, sizeof text, "job %ld", number);
    assert_int_equal(sp_thread_set_name(thread, text), SP_OK);
    assert_string_equal(sp_thread_name(thread), text);
}

static void the_last_names_are_kept_and_no_more(sp_thread *thread)
{
    const char *given[KEPT + 1];
    char text[32];
    for (long i = 0; i < 1000; i++) {
        rename_to(thread, i);
        given[i % (KEPT + 1)] = sp_thread_name(thread);
        for (long k = i; k >= 0 && k > i - KEPT - 1 && i % 100 == 99; k--) {
            snprintf(text, sizeof text, "job %ld", k);
            assert_string_equal(given[k % (KEPT + 1)], text);
        }
        assert_true(names_of(thread) <= KEPT + 1);
    }
    const char *again = given[990 % (KEPT + 1)];
    for (int i = 0; i < 1000; i++) { /* a name that is kept is given again as it is */
        rename_to(thread, 990);
        assert_ptr_equal(sp_thread_name(thread), again);
        rename_to(thread, 999);
        rename_to(thread, 999);
    }
    assert_true(names_of(thread) <= KEPT + 1);
}

static sp_status measure_stack(const sp_none *in, size_t *ret_size)
{
    (void)in;
    return sp__os_stack_bottom(ret_size) != 0 ? SP_OK : SP_OS_ERROR;
}
SP_TASK(measure_stack, sp_none, size_t);

static void a_thread_has_the_stack_that_was_asked_for(void **state)
{
    (void)state;
    size_t size = 0;
    sp_auto(sp_thread) thread = sp_start_with(SP_THREAD(.stack_size = 600000), measure_stack);
    assert_int_equal(sp_join(thread, &size, SP_FOREVER), SP_OK);
#ifdef __SANITIZE_THREAD__       /* whose thread-local variables come on top */
    const size_t most = 4000000; /* less than the system's default */
#else
    const size_t most = 900000;
#endif
    assert_in_range(size, 600000, most);
}

static void renames_are_not_kept_for_ever(void **state)
{
    (void)state;
    char before[64];
    snprintf(before, sizeof before, "%s", sp_thread_name(sp_thread_main()));
    the_last_names_are_kept_and_no_more(sp_thread_main()); /* its first name is no block */
    assert_int_equal(sp_thread_set_name(sp_thread_main(), before), SP_OK);
    sp_event_clear(&gate);
    sp_thread *running = sp_start(wait_at_gate);
    uint64_t blocks = sp__fault_blocks();
    for (int i = 0; i < 10; i++)
        assert_int_equal(sp_thread_set_name(running, "the same"), SP_OK);
    assert_int_equal(sp__fault_blocks(), blocks + 1);
    the_last_names_are_kept_and_no_more(running);
    sp_event_set(&gate);
    assert_int_equal(sp_join(running, NULL, SP_FOREVER), SP_OK);
    the_last_names_are_kept_and_no_more(running); /* also when it has ended */
    sp_thread_release(running);
}

/* ---- a destructor that asks for its handle in every round ---- */

#ifdef __SANITIZE_THREAD__ /* which has forgotten the thread in the last round */
enum { ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS - 1 };
#else
enum { ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS };
#endif
static pthread_key_t round_key;
static int rounds, given; /* of the thread that the test has joined */

static void ask_in_each_round(void *value)
{
    if (++rounds < ROUNDS)
        assert_int_equal(pthread_setspecific(round_key, value), 0);
    sp_thread *own = sp_thread_current();
    assert_non_null(own);
    assert_true(sp_thread_is_alive(own) ||
                rounds >= ROUNDS - 1); /* when it is told last depends on the order of keys */
    given++;
}

static void *set_round_key(void *arg)
{
    (void)arg;
    assert_non_null(sp_thread_current());
    assert_int_equal(pthread_setspecific(round_key, &round_key), 0);
    return NULL;
}

static void a_handle_of_the_last_round_is_not_listed_for_ever(void **state)
{
    (void)state;
    size_t before = sp_thread_active_count();
    assert_int_equal(pthread_key_create(&round_key, ask_in_each_round), 0);
    test_join(test_thread(set_round_key, NULL));
    assert_int_equal(rounds, ROUNDS);
    assert_int_equal(given, ROUNDS);
    assert_int_equal(sp_thread_active_count(), before);
    assert_int_equal(pthread_key_delete(round_key), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_gives_the_result_again_and_again),
        cmocka_unit_test(join_gives_the_error),
        cmocka_unit_test(join_timeout_type_error_value_error_memory_error),
        cmocka_unit_test(join_of_oneself_is_deadlock),
        cmocka_unit_test(several_threads_join_one),
        cmocka_unit_test(names_and_numbers),
        cmocka_unit_test(the_excepthook_is_told_once_of_what_nobody_saw),
        cmocka_unit_test(owned_data_is_dropped_once),
        cmocka_unit_test(join_all_waits_for_threads_and_pools),
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(a_thread_has_the_stack_that_was_asked_for),
        cmocka_unit_test(renames_are_not_kept_for_ever),
        cmocka_unit_test(a_handle_of_the_last_round_is_not_listed_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
