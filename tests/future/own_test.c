/* What a waiting worker runs on its own stack, and what its pool is told of it and of what is cancelled.

   SPDX-License-Identifier: MIT */
#include "future/part.h"

#include "os/fault.h"

/* ---- what it runs itself ---- */

enum { HELPS, HAS_LIMIT, IS_INITIALIZER, HAS_LOCALS, HAS_NO_STACK, IS_LOST, KINDS };

static double become(int kind, sp_future *future)
{
    sp__self()->helps = kind != IS_INITIALIZER;
    sp__self()->uses_locals = kind == HAS_LOCALS;
    if (kind == HAS_NO_STACK)
        use_up_stack();
    if (kind == IS_LOST)
        sp__store_relaxed(&future->process, sp__process_number + 1); /* as in the child of a fork */
    return kind == HAS_LIMIT ? 20.0 : SP_FOREVER;
}

static sp_status wait_for(sp_future *future, bool reads, double timeout)
{
    if (!reads)
        return sp_result(future, NULL, timeout);
    sp_auto(sp_completion) set = sp_as_completed(&future, 1, timeout);
    return sp_next(set) == future ? SP_OK : sp_completion_status(set);
}

/* As long as a worker may be had only a single future is run, and where nothing speaks against it. */
static void what_is_awaited_runs_here_only_where_it_may(void **state)
{
    (void)state;
    struct part part;
    for (int kind = 0; kind < KINDS; kind++)
        for (int reads = 0; reads < (kind == IS_LOST ? 1 : 2); reads++) { /* sets look for those in a child only */
            begin(&part, SP_OK, 0);
            enlist(&part);
            sp_future *future = part.runs[0] = queued(&part);
            double timeout = become(kind, future);
            assert_int_equal(wait_for(future, reads, timeout), kind == IS_LOST ? SP_SHUT_DOWN : SP_OK);
            assert_int_equal(part.claimed, kind == HELPS && !reads);
            assert_int_equal(part.lent, kind != IS_LOST && !(kind == HELPS && !reads));
            sp_future_release(future);
            dismiss();
        }
}

/* Once it has been refused, values are no hindrance; all others are. */
static void when_no_worker_is_to_be_had_values_are_set_aside(void **state)
{
    (void)state;
    struct part part;
    for (int kind = HAS_LIMIT; kind < IS_LOST; kind++)
        for (int reads = 0; reads < 2; reads++) {
            begin(&part, SP_OS_ERROR, 2);
            enlist(&part);
            sp_future *future = part.runs[0] = queued(&part);
            assert_int_equal(wait_for(future, reads, become(kind, future)), SP_OK);
            assert_int_equal(part.claimed, kind == HAS_LOCALS);
            assert_int_equal(part.asked, kind == HAS_LOCALS ? 1 : 3);
            assert_int_equal(sp__self()->uses_locals, kind == HAS_LOCALS); /* it has still its own */
            sp_future_release(future);
            dismiss();
        }
}

/* A task that another one runs while it waits is one of the pool, too. */
static sp_future *inner;

static sp_status wait_inside(const int *in, int *out)
{
    sp_auto(sp_completion) set = sp_as_completed(&inner, 1, 10.0);
    *out = *in;
    return sp_next(set) == inner ? SP_OK : sp_completion_status(set);
}
SP_TASK(wait_inside, int, int);

static void a_task_that_is_run_by_one_that_waits_lends_in_turn(void **state)
{
    (void)state;
    struct part part;
    begin(&part, SP_OK, 0);
    enlist(&part);
    inner = part.runs[0] = queued(&part);
    sp_future *future = sp__future_create(&wait_inside_sp_task, &(int){ 1 }, &part.owner, 1);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(part.claimed, 1);
    assert_int_equal(part.asked, 1);
    sp_future_release(future);
    sp_future_release(inner);
    dismiss();
}

/* ---- how much stack must be left ---- */

static void as_much_stack_is_left_as_the_pool_says(void **state)
{
    static const size_t left[] = { 1, SIZE_MAX / 2, SIZE_MAX };
    (void)state;
    struct part part;
    for (int i = 0; i < 3; i++) {
        begin(&part, SP_OK, 0);
        enlist(&part);
        sp__self()->help_floor = 0; /* it is not known yet */
        part.owner.stack_to_help = left[i];
        sp_future *future = part.runs[0] = queued(&part);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
        assert_int_equal(part.claimed, i == 0);
        sp_future_release(future);
        dismiss();
    }
}

/* ---- in the innermost of callbacks that nest as deep as they may: further ones are put off ---- */

enum { DEPTH = SP__MOST_NESTED };
static sp_future *links[DEPTH];
static void (*in_innermost)(struct part *part);

static void end_next(sp_future *future, void *context)
{
    (void)future;
    assert_true(sp__nesting.depth > 0);
    unsigned depth = sp__nesting.depth;
    if (depth < DEPTH)
        run(links[depth]);
    else
        in_innermost(context);
}

static void nest(void (*body)(struct part *part))
{
    struct part part;
    begin(&part, SP_OK, 0);
    enlist(&part);
    in_innermost = body;
    for (int i = 0; i < DEPTH; i++) {
        links[i] = queued(&part);
        sp_future_add_done_callback(links[i], end_next, &part);
    }
    run(links[0]);
    assert_int_equal(sp__nesting.depth, 0);
    sp_release_all(links, DEPTH);
    dismiss();
}

static void run_another(sp_future *future, void *other)
{
    (void)future;
    run(other);
}

static bool is_called;

static void note_call(sp_future *future, void *context)
{
    (void)future, (void)context;
    is_called = true;
}

/* What was put off ends the one that is asked for. */
static void ask(struct part *part)
{
    for (int way = 0; way < 2; way++) {
        sp_future *ends = queued(part), *asked = queued(part);
        sp_future_add_done_callback(ends, run_another, asked);
        run(ends);
        assert_false(sp_future_done(asked)); /* put off */
        if (way == 0)
            assert_int_equal(sp_result(asked, NULL, SP_NOWAIT), SP_OK);
        else
            assert_int_equal(sp_wait(&asked, 1, SP_ALL_COMPLETED, SP_NOWAIT), SP_OK);
        sp_future_release(ends);
        sp_future_release(asked);
    }
}

static void who_asks_for_a_future_makes_first_what_was_put_off(void **state)
{
    (void)state;
    nest(ask);
}

/* The callbacks of a task that is run here are called before the one that waits goes on; then others are put off as before. */
static void help_there(struct part *part)
{
    sp_future *helped = queued(part), *after = queued(part);
    is_called = false;
    sp_future_add_done_callback(helped, note_call, NULL);
    assert_int_equal(sp_result(helped, NULL, SP_FOREVER), SP_OK);
    assert_int_equal(part->claimed, 1);
    assert_true(is_called);
    is_called = false;
    sp_future_add_done_callback(after, note_call, NULL);
    run(after);
    assert_false(is_called);
    sp__run_deferred();
    assert_true(is_called);
    sp_future_release(helped);
    sp_future_release(after);
}

static void callbacks_of_what_is_run_here_are_called_at_once(void **state)
{
    (void)state;
    nest(help_there);
}

/* ---- what is cancelled ---- */

static void the_error_for_what_was_cancelled_is_freed(void **state)
{
    (void)state;
    struct part part;
    begin(&part, SP_OK, 0);
    sp_future *future = queued(&part);
    assert_true(sp_future_cancel(future));
    uint64_t blocks = sp__fault_blocks();
    sp_error *error = sp__error_new(SP_OS_ERROR, "pass", "here", 1, "nobody could be started");
    assert_int_equal(sp__fault_blocks(), blocks + 1);
    assert_false(sp__future_fail(future, SP_OS_ERROR, error));
    assert_int_equal(sp__fault_blocks(), blocks);
    sp_future_release(future);
}

static void the_pool_is_told_of_what_is_cancelled_but_not_in_the_child_of_a_fork(void **state)
{
    (void)state;
    struct part part;
    for (int is_worker = 0; is_worker < 2; is_worker++)
        for (int is_lost = 0; is_lost < 2; is_lost++) {
            begin(&part, SP_OK, 0);
            if (is_worker)
                enlist(&part);
            sp_future *future = queued(&part);
            if (is_lost)
                (void)become(IS_LOST, future);
            assert_true(sp_future_cancel(future));
            assert_int_equal(part.cancelled, !is_lost);
            assert_int_equal(part.tidied, is_worker && !is_lost);
            sp_future_release(future);
            dismiss();
        }
}

/* Until the pool knows, nobody else may have the place of the future: it might let the pool go. */
static sp_future *placed;
static uint32_t has_place; /* atomic */
static pthread_t wants_place;

static void *take_place(void *arg)
{
    sp__place_lock(placed);
    sp__store_seq_cst(&has_place, 1);
    sp__place_unlock(placed);
    return arg;
}

static bool cancelled_slowly(struct sp__owner *owner, sp_future *future)
{
    wants_place = test_thread(take_place, NULL);
    sp_sleep(0.03);
    assert_int_equal(sp__load_seq_cst(&has_place), 0);
    return cancelled(owner, future);
}

static void while_the_pool_is_told_nobody_lets_go_of_the_future(void **state)
{
    (void)state;
    struct part part;
    begin(&part, SP_OK, 0);
    part.owner.cancelled = cancelled_slowly;
    placed = queued(&part);
    assert_true(sp_future_cancel(placed));
    test_join(wants_place);
    assert_int_equal(sp__load_seq_cst(&has_place), 1);
    assert_int_equal(part.cancelled, 1);
    sp_future_release(placed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_awaited_runs_here_only_where_it_may),
        cmocka_unit_test(when_no_worker_is_to_be_had_values_are_set_aside),
        cmocka_unit_test(a_task_that_is_run_by_one_that_waits_lends_in_turn),
        cmocka_unit_test(as_much_stack_is_left_as_the_pool_says),
        cmocka_unit_test(who_asks_for_a_future_makes_first_what_was_put_off),
        cmocka_unit_test(callbacks_of_what_is_run_here_are_called_at_once),
        cmocka_unit_test(the_error_for_what_was_cancelled_is_freed),
        cmocka_unit_test(the_pool_is_told_of_what_is_cancelled_but_not_in_the_child_of_a_fork),
        cmocka_unit_test(while_the_pool_is_told_nobody_lets_go_of_the_future),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
