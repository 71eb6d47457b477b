/* The inline pool: calls from inside its tasks, beside thread pools, from several threads, fork and exit.

   SPDX-License-Identifier: MIT */
#include "inline.h"

static const char *program;

/* ---- from inside ---- */

static sp_future *own;
static bool callback_was_refused;

static void end_pool_in_callback(sp_future *future, void *context)
{
    (void)future, (void)context;
    callback_was_refused = sp_shutdown(pool) == SP_DEADLOCK && !sp_executor_wait_idle(pool, SP_FOREVER) &&
                           sp_join_all(SP_FOREVER);
}

static sp_status meddle(const sp_none *in, int *out)
{
    (void)in;
    *out = 0;
    *out += sp_result(own, NULL, SP_FOREVER) == SP_DEADLOCK;
    *out += sp_result(own, NULL, SP_NOWAIT) == SP_DEADLOCK;
    *out += sp_wait(&own, 1, SP_FIRST_COMPLETED, 1.0) == SP_DEADLOCK;
    *out += !sp_executor_wait_idle(pool, SP_FOREVER);
    *out += sp_join_all(SP_FOREVER); /* skips what it runs in */
    *out += sp_shutdown(pool) == SP_DEADLOCK;
    *out += sp_post(pool, note, 1) == SP_SHUT_DOWN;
    *out += sp_shutdown(pool, .no_wait = true) == SP_OK;
    return SP_OK;
}
SP_TASK(meddle, sp_none, int);

static void what_would_wait_for_itself_is_refused(void **state)
{
    (void)state;
    pool = sp_inline_pool(.seed = 12);
    own = sp_submit(pool, meddle);
    sp_future_add_done_callback(own, end_pool_in_callback, NULL);
    int refused = 0;
    assert_int_equal(sp_result(own, &refused, SP_FOREVER), SP_OK);
    assert_int_equal(refused, 8);
    assert_true(callback_was_refused);
    sp_future_release(own);
    close_pool();
}

static sp_event waiter_begins, waiter_is_cancelled;
static bool waiter_was_told, callback_was_told;

static void ask_in_callback(sp_future *future, void *context)
{
    (void)future, (void)context;
    callback_was_told = sp_cancel_requested();
}

static sp_status wait_for_one_with_callback(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_set(&waiter_begins);
    sp_event_wait(&waiter_is_cancelled, SP_FOREVER);
    waiter_was_told = sp_cancel_requested();
    sp_auto(sp_future) future = sp_submit(pool, note, 1);
    sp_future_add_done_callback(future, ask_in_callback, NULL);
    return sp_result(future, NULL, SP_FOREVER);
}
SP_TASK(wait_for_one_with_callback, sp_none, sp_none);

/* What is run inside a task that waits is no part of it. */
static void who_cancels_a_task_does_not_cancel_what_it_runs_while_it_waits(void **state)
{
    (void)state;
    sp_auto(sp_executor) workers = sp_thread_pool(.max_workers = 1);
    pool = sp_inline_pool(.seed = 3);
    callback_was_told = true;
    sp_auto(sp_future) waiter = sp_submit(workers, wait_for_one_with_callback);
    sp_event_wait(&waiter_begins, SP_FOREVER);
    assert_false(sp_future_cancel(waiter));
    sp_event_set(&waiter_is_cancelled);
    assert_int_equal(sp_result(waiter, NULL, SP_FOREVER), SP_OK);
    assert_true(waiter_was_told);
    assert_false(callback_was_told);
    close_pool();
}

static sp_status wait_inside(const enum way *in, int *out)
{
    enum { N = 4 };
    sp_future *futures[N];
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, note, i);
    wait_in_this_way(*in, futures, N);
    *out = (int)ran_so_far();
    sp_release_all(futures, N);
    return SP_OK;
}
typedef enum way way_type;
SP_TASK(wait_inside, way_type, int);

static void a_waiting_task_runs_what_it_waits_for_and_nothing_else(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        for (enum way way = RESULT; way < WAYS; way++) {
            forget_order();
            pool = sp_inline_pool(.seed = seed);
            sp_auto(sp_future) future = sp_submit(pool, wait_inside, way);
            if (seed != 0) /* what may run before the task, and must not run in its waits */
                for (int i = 0; i < 3; i++)
                    assert_int_equal(sp_post(pool, note, 100 + i), SP_OK);
            int value;
            assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
            int others_before = 0, mine = 0;
            for (int i = 0; i < value; i++) {
                others_before += order[i] >= 100 && mine == 0;
                mine += order[i] < 100;
            }
            assert_int_equal(value, others_before + mine);
            assert_int_equal(mine, seed != 0 && (way == WAIT_ONE || way == FIRST) ? 1 : 4);
            close_pool();
        }
    }
}

static sp_lock lock;

static sp_status look_at_lock(const sp_none *in, int *out)
{
    (void)in;
    *out = sp_lock_acquire_timeout(&lock, SP_NOWAIT) ? 1 : 0;
    return sp_raise(SP_USER_ERROR, "inner");
}
SP_TASK(look_at_lock, sp_none, int);

static sp_status outer_task(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&lock);
    sp_status status = sp_raise(SP_USER_ERROR, "outer"); /* kept while others run on this stack */
    sp_auto(sp_future) inner = sp_submit(pool, look_at_lock);
    sp_status of_inner = sp_result(inner, NULL, SP_FOREVER);
    sp_lock_release(&lock);
    return of_inner == SP_USER_ERROR && strcmp(sp_future_error(inner)->message, "inner") == 0 ? status : SP_OK;
}
SP_TASK(outer_task, sp_none, sp_none);

static void tasks_have_locks_and_errors_of_their_own(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2; seed++) {
        pool = sp_inline_pool(.seed = seed);
        sp_auto(sp_future) future = sp_submit(pool, outer_task);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_USER_ERROR);
        assert_string_equal(sp_future_error(future)->message, "outer");
        assert_false(sp_lock_locked(&lock));
        close_pool();
    }
}

static sp_status release_pool(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    for (int i = 0; pool != NULL && i < 3; i++)
        assert_int_equal(sp_post(pool, note, i), SP_OK);
    sp_executor_release(pool);
    return SP_OK;
}
SP_TASK(release_pool, sp_none, sp_none);

static void the_last_handle_may_go_in_a_task(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        forget_order();
        pool = sp_inline_pool(.seed = seed);
        sp_auto(sp_future) future = sp_submit(pool, release_pool);
        assert_true(sp_future_wait(future, SP_FOREVER));
        assert_int_equal(ran_so_far(), 3);
    }
}

/* ---- with thread pools ---- */

static sp_executor *threads;

static sp_status in_both(const sp_none *in, int *out)
{
    (void)in;
    sp_auto(sp_future) queued = sp_submit(threads, note, 5); /* its only worker is the one we run in */
    sp_auto(sp_future) timed = sp_submit(threads, note, 6);
    sp_status status = sp_result(queued, out, SP_FOREVER);
    if (status == SP_OK)
        status = sp_result(timed, out, 60.0);
    if (status == SP_OK && (sp_shutdown(threads) != SP_DEADLOCK || sp_executor_wait_idle(threads, SP_FOREVER)))
        status = sp_raise(SP_RUNTIME_ERROR, "not refused");
    return status;
}
SP_TASK(in_both, sp_none, int);

static sp_status in_thread(const sp_none *in, int *out)
{
    (void)in;
    sp_auto(sp_future) future = sp_submit(pool, in_both);
    return sp_result(future, out, SP_FOREVER);
}
SP_TASK(in_thread, sp_none, int);

static void a_task_in_a_worker_is_still_the_workers(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2; seed++) {
        pool = sp_inline_pool(.seed = seed);
        threads = sp_thread_pool(.max_workers = 1);
        sp_auto(sp_future) future = sp_submit(threads, in_thread);
        int value = 0;
        assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, 7);
        assert_int_equal(sp_shutdown(threads), SP_OK);
        sp_executor_release(threads);
        close_pool();
    }
}

static void a_set_of_both_kinds_ends(void **state)
{
    (void)state;
    enum { N = 10 };
    forget_order();
    pool = sp_inline_pool(.seed = 21);
    threads = sp_thread_pool(.max_workers = 2);
    sp_future *futures[N];
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(i % 2 == 0 ? pool : threads, note, i);
    assert_int_equal(wait_in_this_way(NEXT, futures, N), N);
    assert_int_equal(sp_wait(futures, N, SP_ALL_COMPLETED, SP_NOWAIT), SP_OK);
    sp_release_all(futures, N);
    assert_int_equal(sp_shutdown(threads), SP_OK);
    sp_executor_release(threads);
    close_pool();
    assert_int_equal(ran_so_far(), N);
}

/* ---- from several threads ---- */

enum { THREADS = 4, EACH = 60 };
static uint32_t dropped[THREADS * EACH]; /* atomic */
static sp_event gate;

static void drop_number(void *arg)
{
    sp__add_seq_cst(&dropped[*(int *)arg], 1);
}

static sp_status owning(const int *in, int *out)
{
    sp_auto(sp_future) inner = *in % 3 == 0 ? sp_submit(pool, note, *in) : NULL;
    *out = *in;
    return inner == NULL ? SP_OK : sp_result(inner, NULL, *in % 2 == 0 ? SP_FOREVER : 60.0);
}
SP_TASK_OWNING(owning, int, int, drop_number, NULL);

static void *submit_and_wait(void *arg)
{
    int first = *(int *)arg * EACH;
    sp_future *futures[EACH];
    sp_event_wait(&gate, SP_FOREVER);
    for (int i = 0; i < EACH; i++)
        futures[i] = sp_submit(pool, owning, first + i);
    for (int i = 0; i < EACH; i += 7)
        sp_future_cancel(futures[i]);
    sp_status status = sp_wait(futures, EACH, first == 0 ? SP_FIRST_ERROR : SP_ALL_COMPLETED, SP_FOREVER);
    assert_int_equal(status, SP_OK);
    assert_true(first % 2 != 0 || sp_executor_wait_idle(pool, SP_FOREVER));
    for (int i = 0; i < EACH; i++) {
        assert_true(sp_future_done(futures[i]));
        status = sp_result(futures[i], NULL, SP_NOWAIT);
        assert_true(status == SP_OK || (status == SP_CANCELLED && i % 7 == 0));
    }
    sp_release_all(futures, EACH);
    return NULL;
}

static void several_threads_share_it(void **state)
{
    (void)state;
    for (long round = test_count(20); round > 0; round--) {
        memset(dropped, 0, sizeof dropped);
        sp_event_clear(&gate);
        pool = sp_inline_pool(.seed = (uint64_t)(round % 3));
        pthread_t running[THREADS];
        int numbers[THREADS];
        for (int i = 0; i < THREADS; i++) {
            numbers[i] = i;
            running[i] = test_thread(submit_and_wait, &numbers[i]);
        }
        sp_event_set(&gate);
        for (int i = 0; i < THREADS; i++)
            test_join(running[i]);
        close_pool();
        for (int i = 0; i < THREADS * EACH; i++)
            assert_int_equal(dropped[i], 1);
    }
}

static sp_status pass_gate(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp__add_seq_cst(&ran, 1);
    sp_event_wait(&gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(pass_gate, sp_none, sp_none);

static void *wait_for_own(void *arg)
{
    (void)arg;
    assert_int_equal(sp_result(own, NULL, SP_FOREVER), SP_OK);
    return NULL;
}

static void *open_gate(void *arg)
{
    (void)arg;
    sp_event_set(&gate);
    return NULL;
}

static void who_waits_for_what_another_runs_sleeps(void **state)
{
    (void)state;
    forget_order();
    sp_event_clear(&gate);
    pool = sp_inline_pool(.seed = 9);
    own = sp_submit(pool, pass_gate);
    pthread_t runner = test_thread(wait_for_own, NULL);
    test_await(ran_so_far() == 1);
    assert_int_equal(sp_result(own, NULL, 0.001), SP_TIMEOUT);
    assert_int_equal(sp_result(own, NULL, SP_NOWAIT), SP_TIMEOUT);
    assert_false(sp_executor_wait_idle(pool, 0.001));
    assert_false(sp_future_cancel(own));
    pthread_t opener = test_thread(open_gate, NULL);
    assert_int_equal(sp_result(own, NULL, SP_FOREVER), SP_OK);
    test_join(opener);
    test_join(runner);
    sp_future_release(own);
    close_pool();
}

static void the_pool_may_go_while_others_wait_for_its_futures(void **state)
{
    (void)state;
    for (long round = test_count(300); round > 0; round--) {
        pool = sp_inline_pool(.seed = (uint64_t)round);
        own = sp_submit(pool, note, 1);
        for (int i = 0; i < 3; i++)
            assert_int_equal(sp_post(pool, note, i), SP_OK);
        pthread_t waiter = test_thread(wait_for_own, NULL);
        sp_executor_release(pool); /* here, or in the waiter, the last task runs */
        test_join(waiter);
        sp_future_release(own);
    }
}

/* ---- fork and exit ---- */

/* Run it in a child; what it returns decides. */
static void in_child(bool (*check)(void))
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(check() ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static bool is_closed(void)
{
    bool closed = sp_post(pool, note, 1) == SP_SHUT_DOWN;
    closed = closed && sp_result(own, NULL, SP_FOREVER) == SP_SHUT_DOWN && sp_executor_wait_idle(pool, SP_FOREVER);
    closed = closed && sp_shutdown(pool) == SP_OK && ran_so_far() == 0;
    sp_executor_release(pool);
    pool = sp_inline_pool(.seed = 3);
    sp_future *fresh = sp_submit(pool, note, 1);
    return closed && sp_result(fresh, NULL, SP_FOREVER) == SP_OK && sp_join_all(SP_FOREVER);
}

static void in_the_child_of_a_fork_it_is_closed(void **state)
{
    (void)state;
    forget_order();
    pool = sp_inline_pool(.seed = 9);
    own = sp_submit(pool, note, 1);
    in_child(is_closed);
    assert_int_equal(sp_result(own, NULL, SP_FOREVER), SP_OK);
    sp_future_release(own);
    close_pool();
}

static sp_status fork_inside(const sp_none *in, int *out)
{
    (void)in;
    fflush(NULL);
    *out = (int)fork();
    return SP_OK;
}
SP_TASK(fork_inside, sp_none, int);

static void a_task_may_fork(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2; seed++) {
        pool = sp_inline_pool(.seed = seed);
        sp_auto(sp_future) future = sp_submit(pool, fork_inside);
        int child = -1, status = -1;
        sp_status ended = sp_result(future, &child, SP_FOREVER);
        if (child == 0) /* the task has ended here as well, and the pool is closed and idle */
            _exit(ended == SP_OK && sp_executor_wait_idle(pool, SP_NOWAIT) && sp_post(pool, note, 1) == SP_SHUT_DOWN
                      ? 0
                      : 1);
        assert_int_equal(ended, SP_OK);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        close_pool();
    }
}

static sp_status say(const int *in, sp_none *out)
{
    (void)out;
    fprintf(stderr, "ran %d\n", *in);
    return SP_OK;
}
SP_TASK(say, int, sp_none);

static void leave_work_to_the_exit(void)
{
    pool = sp_inline_pool(.seed = 5);
    if (sp_post(pool, say, 1) != SP_OK || sp_post(pool, say, 2) != SP_OK)
        _exit(1);
}

static void process_exit_runs_what_is_queued(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "exit", NULL);
    assert_false(end.hung);
    assert_int_equal(end.status, 0);
    assert_non_null(strstr(end.said, "ran 1\n"));
    assert_non_null(strstr(end.said, "ran 2\n"));
}

int main(int argc, char **argv)
{
    static const struct child_case cases[] = { { "exit", leave_work_to_the_exit } };
    program = argv[0];
    if (argc > 1)
        return child_main(cases, 1, argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_would_wait_for_itself_is_refused),
        cmocka_unit_test(who_cancels_a_task_does_not_cancel_what_it_runs_while_it_waits),
        cmocka_unit_test(a_waiting_task_runs_what_it_waits_for_and_nothing_else),
        cmocka_unit_test(tasks_have_locks_and_errors_of_their_own),
        cmocka_unit_test(the_last_handle_may_go_in_a_task),
        cmocka_unit_test(a_task_in_a_worker_is_still_the_workers),
        cmocka_unit_test(a_set_of_both_kinds_ends),
        cmocka_unit_test(several_threads_share_it),
        cmocka_unit_test(who_waits_for_what_another_runs_sleeps),
        cmocka_unit_test(the_pool_may_go_while_others_wait_for_its_futures),
        cmocka_unit_test(in_the_child_of_a_fork_it_is_closed),
        cmocka_unit_test(a_task_may_fork),
        cmocka_unit_test(process_exit_runs_what_is_queued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
