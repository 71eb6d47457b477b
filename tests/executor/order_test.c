/* The memory order of threads, futures and pools, as docs/memory-model.md has it: plain data is written before the one call
   and read after the other.  The thread sanitizer proves it; see tests/sync/order_test.c.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <stdbool.h>

#include <spool.h>

#include "base/atomic.h"

static sp_executor *pool;

struct note {
    long before, after; /* plain */
};
typedef struct note *note_pointer;

/* Reads what was written before the start or the submit, writes what is read after the end. */
static sp_status answer(const note_pointer *in, long *out)
{
    (*in)->after = (*in)->before + 40;
    *out = (*in)->before;
    return SP_OK;
}
SP_TASK(answer, note_pointer, long);

static sp_status answer_and_fail(const note_pointer *in, sp_none *out)
{
    (void)out;
    (*in)->after = (*in)->before + 40;
    return sp_raise(SP_VALUE_ERROR, "on purpose");
}
SP_TASK(answer_and_fail, note_pointer, sp_none);

static void check(const struct note *note)
{
    assert_int_equal(note->after, 42);
}

static sp_thread *start(struct note *note)
{
    *note = (struct note){ .before = 2 };
    sp_thread *thread = sp_start(answer, note);
    assert_non_null(thread);
    return thread;
}

static sp_future *submit(struct note *note)
{
    *note = (struct note){ .before = 2 };
    return sp_submit(pool, answer, note);
}

/* ---- threads ---- */

static void start_to_thread_and_thread_to_join(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--) {
        struct note note;
        long value = 0;
        sp_auto(sp_thread) thread = start(&note);
        assert_int_equal(sp_join(thread, &value, SP_FOREVER), SP_OK);
        check(&note);
        assert_int_equal(value, 2);
    }
}

static void thread_to_wait_and_is_alive(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--) {
        struct note note;
        sp_auto(sp_thread) waited = start(&note);
        while (sp_thread_wait(waited, 1e-6) != SP_OK)
            continue;
        check(&note);
        sp_auto(sp_thread) seen = start(&note);
        test_await(!sp_thread_is_alive(seen));
        check(&note);
    }
}

static void thread_to_join_all(void **state)
{
    (void)state;
    for (long i = test_count(50); i > 0; i--) {
        struct note note;
        sp_thread_release(start(&note));
        assert_true(sp_join_all(SP_FOREVER));
        check(&note);
    }
}

/* ---- futures ---- */

static void submit_to_task_and_task_to_result(void **state)
{
    (void)state;
    for (long i = test_count(300); i > 0; i--) {
        struct note note;
        long value = 0;
        sp_auto(sp_future) future = submit(&note);
        assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
        check(&note);
        assert_int_equal(value, 2);
    }
}

static void task_to_every_question_that_sees_it_done(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--) {
        struct note note;
        sp_auto(sp_future) waited = submit(&note);
        assert_true(sp_future_wait(waited, SP_FOREVER));
        check(&note);
        sp_auto(sp_future) asked = submit(&note);
        test_await(sp_future_done(asked));
        check(&note);
        note = (struct note){ .before = 2 };
        sp_auto(sp_future) failed = sp_submit(pool, answer_and_fail, &note);
        test_await(sp_future_error(failed) != NULL);
        check(&note);
        assert_string_equal(sp_future_error(failed)->message, "on purpose");
    }
}

static void task_to_wait_for_a_set(void **state)
{
    (void)state;
    static const sp_wait_until ways[] = { SP_ALL_COMPLETED, SP_FIRST_COMPLETED, SP_FIRST_ERROR };
    for (long i = test_count(100); i > 0; i--) {
        for (int way = 0; way < 3; way++) {
            struct note note;
            sp_auto(sp_future) future = submit(&note);
            assert_int_equal(sp_wait(&future, 1, ways[way], SP_FOREVER), SP_OK);
            check(&note);
        }
    }
}

static void task_to_next_of_a_completion(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--) {
        struct note notes[3];
        sp_future *futures[3];
        for (int k = 0; k < 3; k++)
            futures[k] = submit(&notes[k]);
        sp_auto(sp_completion) set = sp_as_completed(futures, 3, SP_FOREVER);
        for (sp_future *future; (future = sp_next(set)) != NULL;)
            check(*(const note_pointer *)sp_future_arg(future));
        sp_release_all(futures, 3);
    }
}

static uint32_t called; /* atomic, relaxed on purpose: orders nothing */

static void read_in_callback(sp_future *future, void *context)
{
    const struct note *note = context;
    (void)future;
    sp__store_relaxed(&called, note->after == 42 ? 1 : 2);
}

static void task_to_callback(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--) {
        struct note note;
        sp__store_relaxed(&called, 0);
        sp_auto(sp_future) future = submit(&note);
        sp_future_add_done_callback(future, read_in_callback, &note); /* in the worker, or here when it is done */
        test_await(sp__load_relaxed(&called) != 0);
        assert_int_equal(sp__load_relaxed(&called), 1);
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    }
}

static void *set_result(void *arg)
{
    sp_future *future = arg;
    note_pointer note = *(const note_pointer *)sp_future_arg(future);
    note->after = note->before + 40;
    return sp_future_set_result(future, &(long){ 1 }, sizeof(long)) == SP_OK ? arg : NULL;
}

static void set_result_to_result(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--) {
        struct note note = { .before = 2 };
        note_pointer arg = &note;
        sp_auto(sp_future) future = sp_future_new(&answer_sp_task, &arg);
        pthread_t thread = test_thread(set_result, future);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
        check(&note);
        test_join(thread);
    }
}

/* ---- pools ---- */

static void task_to_wait_idle(void **state)
{
    (void)state;
    for (long i = test_count(100); i > 0; i--) {
        struct note note = { .before = 2 };
        assert_int_equal(sp_post(pool, answer, &note), SP_OK);
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        check(&note);
    }
}

static long initialized, finalized; /* plain */

static sp_status initialize(void *arg)
{
    initialized = *(const long *)arg;
    return SP_OK;
}

static void finalize(void *arg)
{
    finalized = *(const long *)arg + initialized;
}

static void initializer_to_task_and_finalizer_to_shutdown(void **state)
{
    (void)state;
    for (long i = test_count(50); i > 0; i--) {
        long arg = i;
        struct note note = { .before = 2 };
        sp_executor *own = sp_thread_pool(.max_workers = 1, .initializer = initialize, .finalizer = finalize,
                                          .initializer_arg = &arg);
        assert_int_equal(sp_post(own, answer, &note), SP_OK);
        assert_int_equal(sp_shutdown(own), SP_OK);
        check(&note);
        assert_int_equal(initialized, i);
        assert_int_equal(finalized, 2 * i);
        sp_executor_release(own);
    }
}

static int triple(int x)
{
    return 3 * x;
}
SP_FUNCTION(triple, int, int);

static void task_to_map(void **state)
{
    (void)state;
    for (long i = test_count(50); i > 0; i--) {
        int in[5] = { 1, 2, 3, 4, 5 }, out[5];
        assert_int_equal(sp_map(pool, triple, in, out, 5, .chunksize = 2), SP_OK);
        for (int k = 0; k < 5; k++)
            assert_int_equal(out[k], 3 * in[k]);
    }
}

struct notes {
    struct note notes[6];
    int next;
};

static bool next_note(void *context, void *ret_arg)
{
    struct notes *notes = context;
    if (notes->next == 6)
        return false;
    struct note *note = &notes->notes[notes->next++];
    *note = (struct note){ .before = 2 };
    *(note_pointer *)ret_arg = note;
    return true;
}

static void input_to_task_and_task_to_map_next(void **state)
{
    (void)state;
    for (long i = test_count(50); i > 0; i--) {
        struct notes notes = { .next = 0 };
        sp_auto(sp_mapping) mapping = sp_map_lazy(pool, answer, next_note, &notes, .buffersize = 3);
        long before;
        for (int k = 0; k < 6; k++) {
            assert_int_equal(sp_map_next(mapping, &before, SP_FOREVER), SP_OK);
            assert_int_equal(before, 2);
            check(&notes.notes[k]);
        }
        notes.next = 0;
        sp_auto(sp_mapping) failing = sp_map_lazy(pool, answer_and_fail, next_note, &notes, .buffersize = 1);
        assert_int_equal(sp_map_next(failing, NULL, SP_FOREVER), SP_VALUE_ERROR);
        check(&notes.notes[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_to_thread_and_thread_to_join),
        cmocka_unit_test(thread_to_wait_and_is_alive),
        cmocka_unit_test(submit_to_task_and_task_to_result),
        cmocka_unit_test(task_to_every_question_that_sees_it_done),
        cmocka_unit_test(task_to_wait_for_a_set),
        cmocka_unit_test(task_to_next_of_a_completion),
        cmocka_unit_test(task_to_callback),
        cmocka_unit_test(set_result_to_result),
        cmocka_unit_test(task_to_wait_idle),
        cmocka_unit_test(initializer_to_task_and_finalizer_to_shutdown),
        cmocka_unit_test(task_to_map),
        cmocka_unit_test(input_to_task_and_task_to_map_next),
        cmocka_unit_test(thread_to_join_all), /* last: it closes the pool */
    };
    pool = sp_thread_pool(.max_workers = 2);
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    sp_executor_release(pool);
    return result;
}
