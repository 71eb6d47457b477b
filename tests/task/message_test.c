/* The message of an error: whose it is, what else the record says, and what is said when there is no memory for it.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

static const char no_memory[] = "there was no memory to keep the message";
static int raised_at; /* the line of the last sp_raise below that notes it */

/* ---- a task that raises, and returns what it is told to ---- */

struct plan {
    sp_status raises, then_raises, returns; /* SP_OK: it raises nothing */
};

static sp_status follow(const struct plan *plan, sp_none *out)
{
    (void)out;
    if (plan->raises != SP_OK)
        (void)sp_raise(plan->raises, "the first");
    raised_at = __LINE__ + 2;
    if (plan->then_raises != SP_OK)
        (void)sp_raise(plan->then_raises, "the %s", "second");
    return plan->returns;
}
SP_TASK(follow, struct plan, sp_none);

static void assert_fails(sp_future *future, sp_status status, const char *message)
{
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), status);
    assert_int_equal(sp_future_error(future)->status, status);
    assert_string_equal(sp_future_error(future)->message, message);
    assert_string_equal(sp_future_error(future)->task, sp_future_task_name(future));
    sp_future_release(future);
}

/* One pool of each kind; each runs what it is given one after the other. */
enum { POOLS = 3 };

static void make_pools(sp_executor *pools[POOLS])
{
    pools[0] = sp_thread_pool(.max_workers = 1);
    pools[1] = sp_inline_pool();
    pools[2] = sp_inline_pool(.seed = 7);
}

static void release_pools(sp_executor *pools[POOLS])
{
    for (int i = 0; i < POOLS; i++) {
        assert_int_equal(sp_shutdown(pools[i]), SP_OK);
        sp_executor_release(pools[i]);
    }
}

/* ---- whose message it is ---- */

static void the_message_of_a_success_is_not_that_of_the_next_failure(void **state)
{
    (void)state;
    sp_executor *pools[POOLS];
    make_pools(pools);
    for (int i = 0; i < POOLS; i++) {
        sp_auto(sp_future) handled = sp_submit(pools[i], follow, .raises = SP_VALUE_ERROR);
        assert_int_equal(sp_result(handled, NULL, SP_FOREVER), SP_OK);
        assert_null(sp_future_error(handled));
        assert_fails(sp_submit(pools[i], follow, .returns = SP_VALUE_ERROR), SP_VALUE_ERROR,
                     sp_status_text(SP_VALUE_ERROR));
    }
    release_pools(pools);
}

static void the_message_of_a_failure_is_not_that_of_the_next(void **state)
{
    (void)state;
    sp_executor *pools[POOLS];
    make_pools(pools);
    for (int i = 0; i < POOLS; i++) {
        /* with another status than it has raised, and with this one */
        assert_fails(sp_submit(pools[i], follow, .raises = SP_VALUE_ERROR, .returns = SP_TYPE_ERROR), SP_TYPE_ERROR,
                     sp_status_text(SP_TYPE_ERROR));
        assert_fails(sp_submit(pools[i], follow, .returns = SP_VALUE_ERROR), SP_VALUE_ERROR,
                     sp_status_text(SP_VALUE_ERROR));
        assert_fails(sp_submit(pools[i], follow, .raises = SP_VALUE_ERROR, .returns = SP_VALUE_ERROR), SP_VALUE_ERROR,
                     "the first");
        assert_fails(sp_submit(pools[i], follow, .returns = SP_VALUE_ERROR), SP_VALUE_ERROR,
                     sp_status_text(SP_VALUE_ERROR));
    }
    release_pools(pools);
}

static void the_message_of_an_input_is_not_that_of_the_next_in_its_chunk(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    const struct plan plans[] = { { .raises = SP_VALUE_ERROR }, { .returns = SP_VALUE_ERROR } };
    sp_future *failed = NULL;
    assert_int_equal(sp_map(pool, follow, plans, NULL, 2, .chunksize = 2, .ret_failed = &failed), SP_VALUE_ERROR);
    assert_fails(failed, SP_VALUE_ERROR, sp_status_text(SP_VALUE_ERROR));
}

static sp_status begin_after_all(void *arg)
{
    (void)sp_raise(SP_VALUE_ERROR, "the initializer's");
    return *(sp_status *)arg;
}

static void the_message_of_an_initializer_is_not_that_of_the_first_task(void **state)
{
    (void)state;
    sp_status result = SP_OK;
    sp_auto(sp_executor)
        pool = sp_thread_pool(.max_workers = 1, .initializer = begin_after_all, .initializer_arg = &result);
    assert_fails(sp_submit(pool, follow, .returns = SP_VALUE_ERROR), SP_VALUE_ERROR, sp_status_text(SP_VALUE_ERROR));
}

/* An initializer that fails with another status than it has raised. */
static void the_message_of_a_broken_pool_is_that_of_the_failure(void **state)
{
    (void)state;
    static const sp_status results[] = { SP_VALUE_ERROR, SP_TYPE_ERROR };
    for (int i = 0; i < 2; i++) {
        sp_status result = results[i];
        char message[128];
        sp_auto(sp_executor)
            pool = sp_thread_pool(.max_workers = 1, .initializer = begin_after_all, .initializer_arg = &result);
        snprintf(message, sizeof message, "the pool is broken, its initializer failed: %s",
                 i == 0 ? "the initializer's" : sp_status_text(SP_TYPE_ERROR));
        assert_fails(sp_submit(pool, follow), SP_BROKEN_POOL, message); /* it was queued, or is refused */
        assert_fails(sp_submit(pool, follow), SP_BROKEN_POOL, message); /* refused */
    }
}

struct nest {
    sp_executor *pool;
    struct plan inner;
    sp_status returns;
};

/* It waits for another task of its pool, which runs on its stack. */
static sp_status raise_around(const struct nest *nest, sp_none *out)
{
    (void)out;
    (void)sp_raise(SP_VALUE_ERROR, "the outer");
    sp_auto(sp_future) inner = sp_submit_from(nest->pool, follow, &nest->inner);
    assert_int_equal(sp_result(inner, NULL, SP_FOREVER), nest->inner.returns);
    return nest->returns;
}
SP_TASK(raise_around, struct nest, sp_none);

static void the_message_of_a_task_is_not_that_of_one_it_runs_while_it_waits(void **state)
{
    (void)state;
    sp_executor *pools[POOLS];
    make_pools(pools);
    static const struct plan inner[] = { { .raises = SP_VALUE_ERROR, .returns = SP_VALUE_ERROR },
                                         { .raises = SP_VALUE_ERROR },
                                         { .returns = SP_VALUE_ERROR },
                                         { .returns = SP_OK } };
    for (int i = 0; i < POOLS; i++)
        for (size_t k = 0; k < sizeof inner / sizeof inner[0]; k++) {
            assert_fails(sp_submit(pools[i], raise_around, pools[i], inner[k], SP_VALUE_ERROR), SP_VALUE_ERROR,
                         "the outer");
            assert_fails(sp_submit(pools[i], raise_around, pools[i], inner[k], SP_TYPE_ERROR), SP_TYPE_ERROR,
                         sp_status_text(SP_TYPE_ERROR));
        }
    release_pools(pools);
}

static sp_status ask_inside(const struct nest *nest, sp_none *out)
{
    (void)out;
    (void)sp_raise(SP_VALUE_ERROR, "the outer");
    sp_auto(sp_future) inner = sp_submit_from(nest->pool, follow, &nest->inner);
    assert_int_equal(sp_result(inner, NULL, SP_FOREVER), SP_VALUE_ERROR);
    assert_string_equal(sp_future_error(inner)->message, sp_status_text(SP_VALUE_ERROR));
    return SP_OK;
}
SP_TASK(ask_inside, struct nest, sp_none);

static void a_task_that_runs_inside_another_does_not_have_its_message(void **state)
{
    (void)state;
    sp_executor *pools[POOLS];
    make_pools(pools);
    for (int i = 0; i < POOLS; i++) {
        sp_auto(sp_future) outer = sp_submit(pools[i], ask_inside, .pool = pools[i], .inner.returns = SP_VALUE_ERROR);
        assert_int_equal(sp_result(outer, NULL, SP_FOREVER), SP_OK);
    }
    release_pools(pools);
}

/* ---- which message, and what else is said ---- */

static sp_status raise_ok_between(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_status status = sp_raise(SP_VALUE_ERROR, "kept");
    assert_int_equal(sp_raise(SP_OK, "not a failure"), SP_OK);
    return status;
}
SP_TASK(raise_ok_between, sp_none, sp_none);

static void the_last_message_counts_but_ok_has_none(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    struct plan twice = { SP_VALUE_ERROR, SP_VALUE_ERROR, SP_VALUE_ERROR };
    assert_fails(sp_submit_from(pool, follow, &twice), SP_VALUE_ERROR, "the second");
    struct plan other_first = { SP_TYPE_ERROR, SP_VALUE_ERROR, SP_VALUE_ERROR };
    assert_fails(sp_submit_from(pool, follow, &other_first), SP_VALUE_ERROR, "the second");
    struct plan other_last = { SP_VALUE_ERROR, SP_TYPE_ERROR, SP_VALUE_ERROR };
    assert_fails(sp_submit_from(pool, follow, &other_last), SP_VALUE_ERROR, sp_status_text(SP_VALUE_ERROR));
    assert_fails(sp_submit(pool, raise_ok_between), SP_VALUE_ERROR, "kept");
}

static void a_record_says_where_it_was_raised(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) raised = sp_submit(pool, follow, .then_raises = SP_STOP, .returns = SP_STOP);
    assert_int_equal(sp_result(raised, NULL, SP_FOREVER), SP_STOP);
    assert_string_equal(sp_future_error(raised)->file, __FILE__);
    assert_int_equal(sp_future_error(raised)->line, raised_at);
    assert_int_equal(sp_future_error(raised)->os_errno, 0);
    sp_auto(sp_future) bare = sp_submit(pool, follow, .returns = SP_STOP);
    assert_int_equal(sp_result(bare, NULL, SP_FOREVER), SP_STOP);
    assert_string_equal(sp_future_error(bare)->file, __FILE__);
    assert_int_equal(sp_future_error(bare)->line, 0);
    assert_int_equal(sp_future_error(bare)->os_errno, 0);
}

static sp_status fail_to_open(const int *number, sp_none *out)
{
    (void)out;
    errno = *number;
    sp_status status = sp_raise_errno("open %s", "x");
    assert_int_equal(errno, *number);
    return status;
}
SP_TASK(fail_to_open, int, sp_none);

static void a_failure_of_the_system_keeps_errno(void **state)
{
    (void)state;
    static const int numbers[] = { ENOENT, EACCES, 99999 };
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    for (int i = 0; i < 3; i++) {
        sp_auto(sp_future) future = sp_submit(pool, fail_to_open, numbers[i]);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OS_ERROR);
        const sp_error *error = sp_future_error(future);
        assert_int_equal(error->os_errno, numbers[i]);
        assert_true(strncmp(error->message, "open x: ", 8) == 0);
        assert_true(strlen(error->message) > 8); /* also when the number means nothing */
    }
}

/* Formatting may fail, and change errno. */
static sp_status fail_to_format(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    errno = ENOENT;
    sp_status status = sp_raise_errno("a long text, then %ls", L"\x20ac"); /* no such character in the C locale */
    assert_int_equal(errno, ENOENT);
    return status;
}
SP_TASK(fail_to_format, sp_none, sp_none);

static void a_message_that_cannot_be_formatted_is_its_format(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, fail_to_format);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OS_ERROR);
    const char *message = sp_future_error(future)->message;
    assert_int_equal(strncmp(message, "a long text, then ", strlen("a long text, then ")), 0);
#ifdef __GLIBC__ /* elsewhere each character may be one of the C locale */
    assert_string_equal(message, "a long text, then %ls: No such file or directory");
#endif
    assert_int_equal(sp_future_error(future)->os_errno, ENOENT);
}

/* What is left out is filled in, the rest is copied. */
static void an_error_that_is_set_is_completed(void **state)
{
    (void)state;
    struct plan none = { 0 };
    sp_auto(sp_future) bare = sp_future_new(&follow_sp_task, &none);
    assert_int_equal(sp_future_set_error(bare, &(sp_error){ .status = SP_EMPTY }), SP_OK);
    assert_string_equal(sp_future_error(bare)->task, "follow");
    assert_string_equal(sp_future_error(bare)->file, "?");
    assert_string_equal(sp_future_error(bare)->message, sp_status_text(SP_EMPTY));
    sp_auto(sp_future) full = sp_future_new(&follow_sp_task, &none);
    const sp_error error = { SP_FULL, ENOSPC, "t", "f", 7, "m" };
    assert_int_equal(sp_future_set_error(full, &error), SP_OK);
    const sp_error *copy = sp_future_error(full);
    assert_true(copy->status == SP_FULL && copy->os_errno == ENOSPC && copy->line == 7);
    assert_string_equal(copy->task, "t");
    assert_string_equal(copy->file, "f");
    assert_string_equal(copy->message, "m");
}

/* ---- without memory ---- */

/* From here to the end of the task there is no memory: main gives it back. */
static sp_status raise_without_memory(const sp_status *status, sp_none *out)
{
    (void)out;
    sp__fault_arm(1, true);
    return sp_raise(*status, "a message");
}
SP_TASK(raise_without_memory, sp_status, sp_none);

static void without_memory_the_status_arrives_with_a_fixed_message(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    for (int status = SP_TIMEOUT; status <= SP_STOP + 2; status++) {
        sp_status wanted = status > SP_STOP ? (sp_status)(SP_USER_ERROR + status - SP_STOP) : (sp_status)status;
        sp_auto(sp_future) future = sp_submit(pool, raise_without_memory, wanted);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), wanted);
        uint64_t refused = sp__fault_disarm();
        const sp_error *error = sp_future_error(future);
        assert_true(refused > 0);
        assert_int_equal(sp_future_cancelled(future), wanted == SP_CANCELLED);
        assert_int_equal(error->status, status > SP_STOP ? SP_USER_ERROR : wanted);
        assert_string_equal(error->message, no_memory);
        assert_int_equal(error->os_errno, 0);
        assert_true(error->task != NULL && error->file != NULL);
    }
}

static void a_thread_has_the_fixed_message_too(void **state)
{
    (void)state;
    sp_auto(sp_thread) thread = sp_start(raise_without_memory, SP_VALUE_ERROR);
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_VALUE_ERROR);
    assert_true(sp__fault_disarm() > 0);
    assert_int_equal(sp_thread_error(thread)->status, SP_VALUE_ERROR);
    assert_string_equal(sp_thread_error(thread)->message, no_memory);
}

static void without_memory_no_errno_is_kept(void **state)
{
    (void)state;
    struct plan none = { 0 };
    for (int i = 0; i < 2; i++) {
        sp_auto(sp_future) future = sp_future_new(&follow_sp_task, &none);
        sp__fault_arm(1, true);
        sp_status set = sp_future_set_error(future, &(sp_error){ SP_OS_ERROR, i == 0 ? EIO : 0, "t", "f", 1, "m" });
        sp__fault_disarm();
        assert_int_equal(set, SP_OK);
        assert_int_equal(sp_result(future, NULL, SP_NOWAIT), SP_OS_ERROR);
        assert_string_equal(sp_future_error(future)->message, no_memory);
        assert_int_equal(sp_future_error(future)->os_errno, 0); /* the record is that of others too */
    }
}

/* There is memory again when the task ends: the record says the status, and not what was raised before. */
static sp_status raise_twice(const sp_status *status, sp_none *out)
{
    (void)out;
    (void)sp_raise(*status, "the first");
    sp__fault_arm(1, true);
    (void)sp_raise(*status, "the second");
    assert_int_equal(sp__fault_disarm(), 1);
    return *status;
}
SP_TASK(raise_twice, sp_status, sp_none);

static void an_older_message_does_not_stand_in_for_one_without_memory(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    assert_fails(sp_submit(pool, raise_twice, SP_VALUE_ERROR), SP_VALUE_ERROR, sp_status_text(SP_VALUE_ERROR));
}

static struct {
    int calls;
    sp_status status;
    char message[64];
} unseen;

static void note_unseen(const sp_error *error, void *context)
{
    (void)context;
    unseen.calls++;
    unseen.status = error->status;
    snprintf(unseen.message, sizeof unseen.message, "%s", error->message);
}

static void an_error_without_memory_counts_as_unseen_once(void **state)
{
    (void)state;
    sp_set_unseen_error_hook(note_unseen, NULL);
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    for (int seen = 0; seen < 2; seen++) {
        sp_future *future = sp_submit(pool, raise_without_memory, SP_VALUE_ERROR);
        assert_true(sp_future_wait(future, SP_FOREVER));
        assert_true(sp__fault_disarm() > 0);
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        if (seen)
            assert_int_equal(sp_result(future, NULL, SP_NOWAIT), SP_VALUE_ERROR);
        sp_future_release(future);
        assert_int_equal(unseen.calls, 1); /* the first of the two */
    }
    assert_int_equal(unseen.status, SP_VALUE_ERROR);
    assert_string_equal(unseen.message, no_memory);
    sp_set_unseen_error_hook(NULL, NULL);
}

/* Outside of a task nobody would ask for the message, or free it. */
static void what_is_raised_outside_of_a_task_is_not_kept(void **state)
{
    (void)state;
    assert_non_null(sp_thread_current()); /* from now on nothing is made for the first time */
    uint64_t before = sp__fault_blocks();
    assert_int_equal(sp_raise(SP_VALUE_ERROR, "a"), SP_VALUE_ERROR);
    assert_int_equal(sp_raise_errno("b"), SP_OS_ERROR);
    assert_int_equal(sp__fault_blocks(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_message_of_a_success_is_not_that_of_the_next_failure),
        cmocka_unit_test(the_message_of_a_failure_is_not_that_of_the_next),
        cmocka_unit_test(the_message_of_an_input_is_not_that_of_the_next_in_its_chunk),
        cmocka_unit_test(the_message_of_an_initializer_is_not_that_of_the_first_task),
        cmocka_unit_test(the_message_of_a_broken_pool_is_that_of_the_failure),
        cmocka_unit_test(the_message_of_a_task_is_not_that_of_one_it_runs_while_it_waits),
        cmocka_unit_test(a_task_that_runs_inside_another_does_not_have_its_message),
        cmocka_unit_test(the_last_message_counts_but_ok_has_none),
        cmocka_unit_test(a_record_says_where_it_was_raised),
        cmocka_unit_test(a_failure_of_the_system_keeps_errno),
        cmocka_unit_test(a_message_that_cannot_be_formatted_is_its_format),
        cmocka_unit_test(an_error_that_is_set_is_completed),
        cmocka_unit_test(without_memory_the_status_arrives_with_a_fixed_message),
        cmocka_unit_test(a_thread_has_the_fixed_message_too),
        cmocka_unit_test(without_memory_no_errno_is_kept),
        cmocka_unit_test(an_older_message_does_not_stand_in_for_one_without_memory),
        cmocka_unit_test(an_error_without_memory_counts_as_unseen_once),
        cmocka_unit_test(what_is_raised_outside_of_a_task_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
