/* Pools, maps and their tasks leave no memory behind, however they end.

   SPDX-License-Identifier: MIT */
#include "leaks.h"

#include <errno.h>
#include <string.h>

#include "executor/pool.h"

static sp_executor *pool; /* of the scenario that runs */
static sp_event goes_on;
static uint32_t begun; /* atomic: initializers */

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return *in >= 0 ? SP_OK : sp_raise(SP_VALUE_ERROR, "%d is negative", *in);
}
SP_TASK(pass, int, int);

/* An argument and a result that are blocks of memory themselves. */
enum kind { GOOD, BAD, BAD_AFTER_ANOTHER };
typedef unsigned char *block;
static sp_event has_failed;

static block make(enum kind kind)
{
    block made = sp__os_zalloc(16);
    if (made != NULL)
        *made = (unsigned char)kind;
    return made;
}

static void drop(void *owned)
{
    sp__os_free(*(block *)owned);
}

static sp_status own(const block *in, block *out)
{
    *out = make(GOOD);
    if (*in == NULL || **in == GOOD)
        return SP_OK;
    if (**in == BAD_AFTER_ANOTHER)
        sp_event_wait(&has_failed, SP_FOREVER);
    sp_event_set(&has_failed);
    return SP_VALUE_ERROR;
}
SP_TASK_OWNING(own, block, block, drop, drop);

static sp_status hold(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&goes_on, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold, sp_none, sp_none);

static void end_pool(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static sp_future *begin_held(size_t max_pending)
{
    sp_event_clear(&goes_on);
    pool = sp_thread_pool(.max_workers = 1, .max_pending = max_pending);
    sp_future *holder = sp_submit(pool, hold, SP_NONE);
    test_await(sp_future_running(holder));
    return holder;
}

static void release_when_done(sp_future *future)
{
    assert_true(sp_future_wait(future, SP_FOREVER));
    sp_future_release(future);
}

/* ---- pools ---- */

static void run_some(void)
{
    pool = sp_thread_pool(.max_workers = 2, .thread_name_prefix = "some");
    sp_future *futures[8];
    for (int i = 0; i < 8; i++)
        futures[i] = sp_submit(pool, pass, i % 2 ? i : -i);
    for (int i = 0; i < 8; i++)
        release_when_done(futures[i]);
    for (int i = 0; i < 8; i++)
        assert_int_equal(sp_post(pool, pass, i), SP_OK);
    end_pool();
}

static void release_without_shutdown(void)
{
    sp_future *holder = begin_held(0);
    sp_auto(sp_future) future = sp_submit(pool, pass, 1);
    sp_executor_release(pool);
    sp_event_set(&goes_on);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    release_when_done(holder);
    assert_true(sp_join_all(SP_FOREVER));
}

static void cancel_at_shutdown(void)
{
    sp_future *holder = begin_held(0), *futures[5];
    for (int i = 0; i < 5; i++)
        futures[i] = sp_submit(pool, pass, i);
    assert_true(sp_future_cancel(futures[2]));
    sp_event_set(&goes_on);
    assert_int_equal(sp_shutdown(pool, .cancel_futures = true), SP_OK);
    for (int i = 0; i < 5; i++)
        assert_non_null(sp_future_cancelled(futures[i]) ? sp_future_error(futures[i]) : sp_future_arg(futures[i]));
    sp_release_all(futures, 5);
    release_when_done(holder);
    sp_auto(sp_future) refused = sp_submit(pool, pass, 1);
    assert_int_equal(sp_result(refused, NULL, SP_FOREVER), SP_SHUT_DOWN);
    assert_int_equal(sp_post(pool, pass, 1), SP_SHUT_DOWN);
    end_pool();
}

static void *submit_one(void *future)
{
    *(sp_future **)future = sp_submit(pool, pass, 2);
    return NULL;
}

static void wait_for_room(void)
{
    sp_future *holder = begin_held(1), *second = NULL;
    sp_auto(sp_future) first = sp_submit(pool, pass, 1);
    pthread_t submitter = test_thread(submit_one, &second);
    test_await(sp__load_seq_cst(&sp__pool_of(pool)->without_room) == 1);
    assert_true(sp_future_cancel(first)); /* while all sleep */
    test_join(submitter);
    sp_event_set(&goes_on);
    assert_int_equal(sp_result(second, NULL, SP_FOREVER), SP_OK);
    sp_future_release(second);
    release_when_done(holder);
    end_pool();
}

/* ---- tasks that submit and wait ---- */

enum wait_way { WAITS, WAITS_TIMED, WAITS_TIMED_LAST_FIRST, CANCELS, CANCELS_LAST_FIRST, WAYS };

static sp_status with_children(const int *way, sp_none *out)
{
    enum { N = 6 };
    (void)out;
    sp_future *children[N];
    for (int i = 0; i < N; i++)
        children[i] = sp_submit(pool, own, make(GOOD));
    for (int i = 0; i < N; i++) {
        bool last_first = *way == WAITS_TIMED_LAST_FIRST || *way == CANCELS_LAST_FIRST;
        sp_future *child = children[last_first ? N - 1 - i : i];
        if (*way >= CANCELS)
            (void)sp_future_cancel(child);
        else if (sp_result(child, NULL, *way == WAITS ? SP_FOREVER : 60.0) != SP_OK)
            return SP_RUNTIME_ERROR;
    }
    sp_release_all(children, N);
    return SP_OK;
}
SP_TASK(with_children, int, sp_none);

static void wait_for_children(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    for (int way = 0; way < WAYS; way++) {
        sp_auto(sp_future) parent = sp_submit(pool, with_children, way);
        assert_int_equal(sp_result(parent, NULL, SP_FOREVER), SP_OK);
    }
    end_pool();
}

/* What is in the queue besides, when one that stands in runs it. */
static sp_future *outside;

static sp_status wait_for_outside(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&goes_on, SP_FOREVER);
    return sp_result(outside, NULL, 60.0);
}
SP_TASK(wait_for_outside, sp_none, sp_none);

static void wait_for_what_lies_in_the_inbox(void)
{
    sp_event_clear(&goes_on);
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) waiter = sp_submit(pool, wait_for_outside, SP_NONE);
    sp_auto(sp_future) before = sp_submit(pool, pass, 1);
    outside = sp_submit(pool, pass, 2);
    sp_event_set(&goes_on);
    assert_int_equal(sp_result(waiter, NULL, SP_FOREVER), SP_OK);
    sp_future_release(outside);
    end_pool();
}

/* ---- broken pools ---- */

static sp_status fail_together(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&begun, 1);
    test_await(sp__load_seq_cst(&begun) >= 2);
    return sp_raise(SP_USER_ERROR, "%*d", 3000, 7);
}

static void break_with_two_failures(void)
{
    sp__store_seq_cst(&begun, 0);
    pool = sp_thread_pool(.max_workers = 2, .initializer = fail_together);
    sp_future *futures[] = { sp_submit(pool, pass, 1), sp_submit(pool, pass, 2), NULL };
    test_await(sp_future_done(futures[0]) && sp_future_done(futures[1]));
    futures[2] = sp_submit(pool, pass, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sp_result(futures[i], NULL, SP_FOREVER), SP_BROKEN_POOL);
        sp_future_release(futures[i]);
    }
    end_pool();
}

static sp_status second_fails(void *arg)
{
    (void)arg;
    if (sp__add_seq_cst(&begun, 1) == 0)
        return SP_OK;
    sp_event_wait(&goes_on, SP_FOREVER);
    return SP_USER_ERROR;
}

static sp_status cancel_one_child(const sp_none *in, sp_none *out)
{
    enum { N = 7 };
    (void)in, (void)out;
    sp_future *children[N];
    for (int i = 0; i < N; i++)
        children[i] = sp_submit(pool, pass, i);
    bool cancelled = sp_future_cancel(children[3]); /* stays in the deque */
    sp_event_set(&goes_on);
    bool all = true;
    for (int i = 0; i < N; i++) {
        sp_status status = sp_result(children[i], NULL, 60.0);
        all = all && (status == SP_BROKEN_POOL || status == SP_OK || i == 3);
    }
    sp_release_all(children, N);
    return cancelled && all ? SP_OK : SP_RUNTIME_ERROR;
}
SP_TASK(cancel_one_child, sp_none, sp_none);

static void break_beside_what_was_cancelled(void)
{
    sp__store_seq_cst(&begun, 0);
    sp_event_clear(&goes_on);
    pool = sp_thread_pool(.max_workers = 2, .initializer = second_fails);
    sp_auto(sp_future) parent = sp_submit(pool, cancel_one_child, SP_NONE);
    assert_int_equal(sp_result(parent, NULL, SP_FOREVER), SP_OK);
    end_pool();
}

/* ---- refusals ---- */

/* Each call of making, submitting and ending refused in turn. */
static void refuse_in_turn(void)
{
    for (uint64_t call = 1; call < 30; call++) {
        sp__fault_arm(call, false);
        sp_executor *made = sp_thread_pool(.max_workers = 1);
        sp_auto(sp_future) future = sp_submit(made, pass, 1);
        assert_true(sp_future_wait(future, SP_FOREVER));
        assert_int_equal(sp_shutdown(made), SP_OK);
        sp_executor_release(made);
        sp__fault_disarm();
    }
}

/* The system itself refuses a thread, for its stack: there are no such addresses. */
static void refuse_the_stack(void)
{
    sp_executor *made = sp_thread_pool(.max_workers = 1, .stack_size = (size_t)1 << 60);
    sp_auto(sp_future) future = sp_submit(made, pass, 1);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OS_ERROR);
    assert_int_equal(sp_shutdown(made), SP_OK);
    sp_executor_release(made);
}

/* ---- inline pools ---- */

static void run_inline(void)
{
    for (uint64_t seed = 0; seed < 2; seed++) {
        pool = sp_inline_pool(.seed = seed);
        sp_future *futures[100];
        for (int i = 0; i < 100; i++)
            futures[i] = sp_submit(pool, pass, i);
        (void)sp_future_cancel(futures[7]);
        if (seed != 0)
            assert_int_equal(sp_result(futures[9], NULL, SP_FOREVER), SP_OK);
        assert_int_equal(sp_shutdown(pool, .cancel_futures = true), SP_OK);
        sp_release_all(futures, 100);
        sp_executor_release(pool);
    }
}

static void release_inline(void)
{
    pool = sp_inline_pool(.seed = 3);
    for (int i = 0; i < 40; i++)
        assert_int_equal(sp_post(pool, pass, i), SP_OK);
    sp_executor_release(pool);
}

/* ---- maps ---- */

static void map_in_all_ways(void)
{
    int inputs[20], outputs[20];
    pool = sp_thread_pool(.max_workers = 2);
    for (int i = 0; i < 20; i++)
        inputs[i] = i;
    assert_int_equal(sp_map(pool, pass, inputs, outputs, 20, .chunksize = 3), SP_OK);
    assert_int_equal(sp_map(pool, pass, inputs, NULL, 20), SP_OK);
    inputs[4] = inputs[5] = inputs[9] = -1;
    sp_future *failed = NULL;
    assert_int_equal(sp_map(pool, pass, inputs, outputs, 20, .chunksize = 2, .ret_failed = &failed), SP_VALUE_ERROR);
    sp_future_release(failed);
    assert_int_equal(sp_map(pool, pass, inputs, outputs, 20, .chunksize = 4), SP_VALUE_ERROR);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(sp_map(pool, pass, inputs, outputs, 20), SP_SHUT_DOWN);
    sp_executor_release(pool);
}

enum { INPUTS = 12 };

static sp_status map_blocks(int first_bad, int second_bad, size_t chunksize, bool wants)
{
    block inputs[INPUTS], outputs[INPUTS] = { NULL };
    sp_event_clear(&has_failed);
    for (int i = 0; i < INPUTS; i++)
        inputs[i] = make(i == first_bad ? BAD_AFTER_ANOTHER : i == second_bad ? BAD : GOOD);
    sp_status status = sp_map(pool, own, inputs, wants ? outputs : NULL, INPUTS, .chunksize = chunksize);
    for (int i = 0; i < INPUTS; i++)
        sp__os_free(outputs[i]);
    return status;
}

static void map_what_is_owned(void)
{
    pool = sp_thread_pool(.max_workers = 2);
    for (size_t chunksize = 1; chunksize <= 5; chunksize += 2) {
        assert_int_equal(map_blocks(-1, -1, chunksize, true), SP_OK);
        assert_int_equal(map_blocks(-1, -1, chunksize, false), SP_OK);
        assert_int_equal(map_blocks(-1, 7, chunksize, true), SP_VALUE_ERROR);
        assert_int_equal(map_blocks(0, (int)chunksize, chunksize, true), SP_VALUE_ERROR); /* both chunks fail */
    }
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(map_blocks(-1, -1, 3, true), SP_SHUT_DOWN);
    sp_executor_release(pool);
}

static void map_while_memory_is_refused(void)
{
    pool = sp_thread_pool(.max_workers = 2);
    for (uint64_t call = 1; call < 40; call++) {
        block inputs[INPUTS], outputs[INPUTS] = { NULL };
        sp_event_clear(&has_failed);
        for (int i = 0; i < INPUTS; i++)
            inputs[i] = make(i == 6 ? BAD : GOOD);
        sp__fault_arm(call, false);
        assert_int_not_equal(sp_map(pool, own, inputs, outputs, INPUTS, .chunksize = 4), SP_OK);
        sp__fault_disarm();
    }
    end_pool();
}

static sp_status map_in_task(const sp_none *in, sp_none *out)
{
    int inputs[8] = { 0 }, outputs[8];
    (void)in, (void)out;
    return sp_map(pool, pass, inputs, outputs, 8, .chunksize = 3);
}
SP_TASK(map_in_task, sp_none, sp_none);

static void map_inside(void)
{
    pool = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(pool, map_in_task, SP_NONE);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    end_pool();
}

static bool next_number(void *context, void *ret_arg)
{
    int *left = context;
    if (*left == 0)
        return false;
    *(int *)ret_arg = --*left == 3 ? -3 : *left;
    return true;
}

static void map_lazily(void)
{
    pool = sp_thread_pool(.max_workers = 2);
    for (int taken = 0; taken < 12; taken += 3) { /* some of all, a failure among them */
        int left = 10, value;
        sp_mapping *mapping = sp_map_lazy(pool, pass, next_number, &left, .buffersize = 4);
        for (int i = 0; i < taken; i++)
            assert_int_not_equal(sp_map_next(mapping, &value, SP_FOREVER), SP_TIMEOUT);
        sp_mapping_release(mapping);
    }
    end_pool();
}

static sp_mapping *inner;

static bool release_inner(void *context, void *ret_arg)
{
    (void)context, (void)ret_arg;
    sp_mapping_release(inner);
    return false;
}

static void release_a_mapping_inside(void)
{
    pool = sp_inline_pool();
    inner = sp_map_lazy(pool, pass, release_inner, NULL);
    assert_int_equal(sp_map_next(inner, NULL, SP_NOWAIT), SP_STOP);
    end_pool();
}

/* Each submit behind a task that sleeps begins a report, which is too long for the stack and comes to nothing. */
static void submit_behind_a_sleeper(void)
{
    char name[512];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    sp_event_clear(&goes_on);
    pool = sp_thread_pool(.max_workers = 1, .thread_name_prefix = name);
    sp_auto(sp_future) holder = sp_submit(pool, hold);
    test_await(sp__load_seq_cst(&sp__pool_of(pool)->parked) == 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sp_post(pool, pass, i), SP_OK);
    sp_event_set(&goes_on);
    end_pool();
}

/* ---- */

/* The message is of an error that the task never returns. */
static sp_status raise_and_end_thread(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    (void)sp_raise(SP_VALUE_ERROR, "a message");
    pthread_exit(NULL);
}
SP_TASK(raise_and_end_thread, sp_none, sp_none);

static void end_with_a_message(void)
{
    sp_thread *thread = sp_start(raise_and_end_thread);
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_RUNTIME_ERROR);
    sp_thread_release(thread);
    sp_auto(sp_executor) workers = sp_thread_pool(.max_workers = 1);
    sp_auto(sp_future) future = sp_submit(workers, raise_and_end_thread);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_RUNTIME_ERROR);
}

LEAKS_NOTHING(run_some)
LEAKS_NOTHING(release_without_shutdown)
LEAKS_NOTHING(cancel_at_shutdown)
LEAKS_NOTHING(wait_for_room)
LEAKS_NOTHING(wait_for_children)
LEAKS_NOTHING(wait_for_what_lies_in_the_inbox)
LEAKS_NOTHING(break_with_two_failures)
LEAKS_NOTHING(break_beside_what_was_cancelled)
LEAKS_NOTHING(refuse_in_turn)
LEAKS_NOTHING(refuse_the_stack)
LEAKS_NOTHING(run_inline)
LEAKS_NOTHING(release_inline)
LEAKS_NOTHING(map_in_all_ways)
LEAKS_NOTHING(map_what_is_owned)
LEAKS_NOTHING(map_while_memory_is_refused)
LEAKS_NOTHING(map_inside)
LEAKS_NOTHING(map_lazily)
LEAKS_NOTHING(release_a_mapping_inside)
LEAKS_NOTHING(submit_behind_a_sleeper)
LEAKS_NOTHING(end_with_a_message)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaks_of_run_some),
        cmocka_unit_test(leaks_of_release_without_shutdown),
        cmocka_unit_test(leaks_of_cancel_at_shutdown),
        cmocka_unit_test(leaks_of_wait_for_room),
        cmocka_unit_test(leaks_of_wait_for_children),
        cmocka_unit_test(leaks_of_wait_for_what_lies_in_the_inbox),
        cmocka_unit_test(leaks_of_break_with_two_failures),
        cmocka_unit_test(leaks_of_break_beside_what_was_cancelled),
        cmocka_unit_test(leaks_of_refuse_in_turn),
        cmocka_unit_test(leaks_of_refuse_the_stack),
        cmocka_unit_test(leaks_of_run_inline),
        cmocka_unit_test(leaks_of_release_inline),
        cmocka_unit_test(leaks_of_map_in_all_ways),
        cmocka_unit_test(leaks_of_map_what_is_owned),
        cmocka_unit_test(leaks_of_map_while_memory_is_refused),
        cmocka_unit_test(leaks_of_map_inside),
        cmocka_unit_test(leaks_of_map_lazily),
        cmocka_unit_test(leaks_of_release_a_mapping_inside),
        cmocka_unit_test(leaks_of_submit_behind_a_sleeper),
        cmocka_unit_test(leaks_of_end_with_a_message),
    };
    (void)argc;
    leaks_begin(argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
