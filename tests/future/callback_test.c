/* Done callbacks without memory: each is called once, by whom and when the header says.  And results that are asked for with
   the wrong task.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "os/fault.h"

static sp_event gate;

static sp_status wait_at_gate(const int *in, int *out)
{
    sp_event_wait(&gate, SP_FOREVER);
    *out = *in;
    return SP_OK;
}
SP_TASK(wait_at_gate, int, int);

static int square(int number)
{
    return number * number;
}
SP_FUNCTION(square, int, int);

/* ---- a callback, and what it has seen ---- */

struct note {
    int calls;
    bool was_done;
    sp_status status;
    int value;
    uint64_t thread;
};

static void take_note(sp_future *future, void *context)
{
    struct note *note = context;
    note->calls++;
    note->was_done = sp_future_done(future);
    note->status = sp_result(future, &note->value, SP_NOWAIT);
    note->thread = sp_thread_ident(sp_thread_current());
}

static void *open_gate(void *arg)
{
    sp_sleep(0.01); /* so that the call usually waits; either way it is called with the future done */
    sp_event_set(&gate);
    return arg;
}

/* Without memory to register it the caller waits, and calls it itself. */
static void without_memory_the_caller_waits_and_calls_it(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    uint64_t self = sp_thread_ident(sp_thread_current());
    for (int round = 0; round < 2; round++) {
        struct note note = { .calls = 0 }, other = { .calls = 0 };
        sp_event_clear(&gate);
        sp_auto(sp_future) future = sp_submit(pool, wait_at_gate, 5);
        sp_future_add_done_callback(future, take_note, &other); /* this one has memory */
        pthread_t opener = test_thread(open_gate, NULL);
        sp__fault_arm(1, true);
        sp_future_add_done_callback(future, take_note, &note);
        assert_true(sp__fault_disarm() > 0);
        assert_int_equal(note.calls, 1);
        assert_true(note.was_done);
        assert_int_equal(note.status, SP_OK);
        assert_int_equal(note.value, 5);
        assert_true(note.thread == self);
        test_join(opener);
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
        assert_int_equal(note.calls, 1);
        assert_int_equal(other.calls, 1);
        assert_int_equal(sp_result(future, NULL, SP_NOWAIT), SP_OK);
    }
}

/* A task that watches its own future cannot wait for it. */
static sp_future *own;
static struct note own_note;

static sp_status watch_own_without_memory(const int *in, int *out)
{
    sp_event_wait(&gate, SP_FOREVER); /* until `own` is there */
    sp__fault_arm(1, true);
    sp_future_add_done_callback(own, take_note, &own_note);
    assert_true(sp__fault_disarm() > 0);
    assert_int_equal(own_note.calls, 1);
    *out = *in;
    return SP_OK;
}
SP_TASK(watch_own_without_memory, int, int);

static void without_memory_a_task_calls_it_before_its_own_end(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1);
    sp_event_clear(&gate);
    own = sp_submit(pool, watch_own_without_memory, 7);
    sp_event_set(&gate);
    int value = 0;
    assert_int_equal(sp_result(own, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 7);
    assert_int_equal(own_note.calls, 1);
    assert_false(own_note.was_done);
    assert_int_equal(own_note.status, SP_DEADLOCK);
    sp_future_release(own);
}

/* A future that is done needs no memory. */
static void a_done_future_calls_it_without_memory(void **state)
{
    (void)state;
    int number = 3;
    for (int end = 0; end < 3; end++) {
        struct note note = { .value = -1 };
        sp_auto(sp_future) future = sp_future_new(&square_sp_task, &number);
        if (end == 0)
            assert_int_equal(sp_future_set_result(future, &number, sizeof number), SP_OK);
        else if (end == 1)
            assert_int_equal(sp_future_set_error(future, &(sp_error){ .status = SP_EMPTY }), SP_OK);
        else
            assert_true(sp_future_cancel(future));
        sp__fault_arm(1, true);
        sp_future_add_done_callback(future, take_note, &note);
        sp__fault_disarm();
        assert_int_equal(note.calls, 1);
        assert_true(note.was_done);
        assert_int_equal(note.status, end == 0 ? SP_OK : end == 1 ? SP_EMPTY : SP_CANCELLED);
        assert_int_equal(note.value, end == 0 ? 3 : -1);
    }
}

/* The immortal future of a submit without memory. */
static void the_future_without_memory_calls_it_at_once(void **state)
{
    (void)state;
    struct note note = { .value = -1 };
    sp__fault_arm(1, true);
    sp_future *future = sp_future_new(&square_sp_task, &(int){ 1 });
    sp_future_add_done_callback(future, take_note, &note);
    sp__fault_disarm();
    assert_int_equal(note.calls, 1);
    assert_int_equal(note.status, SP_MEMORY_ERROR);
    assert_string_equal(sp_future_error(future)->message, "no memory for the future");
    assert_string_equal(sp_future_task_name(future), "?");
    assert_int_equal(note.value, -1);
}

/* ---- nested too deep, without memory to put it off ---- */

enum { DEEP = 20 };
static struct {
    sp_future *futures[DEEP];
    int depth, deepest, calls;
} nest;

/* Each is done: its callback is called here and now, and adds the next one. */
static void add_to_next(sp_future *future, void *context)
{
    int number = (int)(intptr_t)context;
    assert_ptr_equal(future, nest.futures[number]);
    nest.calls++;
    if (++nest.depth > nest.deepest)
        nest.deepest = nest.depth;
    if (number + 1 < DEEP)
        sp_future_add_done_callback(nest.futures[number + 1], add_to_next, (void *)(intptr_t)(number + 1));
    nest.depth--;
}

static void nested_callbacks_are_called_though_there_is_no_memory_to_put_them_off(void **state)
{
    (void)state;
    for (int refused = 0; refused < 2; refused++) {
        memset(&nest, 0, sizeof nest);
        for (int i = 0; i < DEEP; i++) {
            nest.futures[i] = sp_future_new(&square_sp_task, &i);
            assert_int_equal(sp_future_set_result(nest.futures[i], &i, sizeof i), SP_OK);
        }
        if (refused)
            sp__fault_arm(1, true);
        sp_future_add_done_callback(nest.futures[0], add_to_next, NULL);
        sp__fault_disarm();
        assert_int_equal(nest.calls, DEEP);
        if (refused)
            assert_int_equal(nest.deepest, DEEP);
        else
            assert_true(nest.deepest <= 8);
        sp_release_all(nest.futures, DEEP);
    }
}

/* ---- whose result it is ---- */

static int cube(int number)
{
    return number * number * number;
}
SP_FUNCTION(cube, int, int);

static sp_status other_square(const int *in, int *out)
{
    *out = -*in;
    return SP_OK;
}
SP_TASK(other_square, int, int);

static void the_result_of_another_task_of_the_same_sizes_is_refused(void **state)
{
    (void)state;
    int value = -1, number = 3, nine = 9;
    sp_auto(sp_future) future = sp_future_new(&square_sp_task, &number);
    assert_int_equal(sp_result_of(cube, future, &value, SP_NOWAIT), SP_TYPE_ERROR); /* before it is waited for */
    assert_int_equal(sp_future_set_result(future, &nine, sizeof nine), SP_OK);
    assert_int_equal(sp_result_of(cube, future, &value, SP_FOREVER), SP_TYPE_ERROR);
    assert_int_equal(sp_result_of(other_square, future, NULL, SP_NOWAIT), SP_TYPE_ERROR); /* also of the status alone */
    assert_int_equal(value, -1);
    assert_int_equal(sp_result_of(square, future, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 9);
}

/* Each file that includes a task's header has a descriptor of its own. */
static void another_descriptor_of_the_same_task_is_fine(void **state)
{
    (void)state;
    int value = -1, number = 3, nine = 9;
    char name[] = "square";
    sp_task same = square_sp_task, shorter = same, larger_arg = same, longer = same;
    same.name = name;
    same.file = "elsewhere.c";
    shorter.name = "squar";
    longer.name = "square2";
    larger_arg.arg_size *= 2;
    sp_auto(sp_future) future = sp_future_new(&square_sp_task, &number);
    assert_int_equal(sp_future_set_result(future, &nine, sizeof nine), SP_OK);
    assert_int_equal(sp_future_result_of(future, &shorter, &value, SP_FOREVER), SP_TYPE_ERROR);
    assert_int_equal(sp_future_result_of(future, &longer, &value, SP_FOREVER), SP_TYPE_ERROR);
    assert_int_equal(sp_future_result_of(future, &larger_arg, &value, SP_FOREVER), SP_TYPE_ERROR);
    assert_int_equal(value, -1);
    assert_int_equal(sp_future_result_of(future, &same, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_the_caller_waits_and_calls_it),
        cmocka_unit_test(without_memory_a_task_calls_it_before_its_own_end),
        cmocka_unit_test(a_done_future_calls_it_without_memory),
        cmocka_unit_test(the_future_without_memory_calls_it_at_once),
        cmocka_unit_test(nested_callbacks_are_called_though_there_is_no_memory_to_put_them_off),
        cmocka_unit_test(the_result_of_another_task_of_the_same_sizes_is_refused),
        cmocka_unit_test(another_descriptor_of_the_same_task_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
