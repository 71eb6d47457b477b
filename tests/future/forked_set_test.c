/* Sets of futures in the child of a fork: none is waited for that only the parent will end, however many there are.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "stress/forked.h"

#include <fcntl.h>

#include <spool.h>

enum { MOST = 9, CHILD_LIMIT = 20 /* seconds */ };

static sp_event task_ends;

static sp_status wait_for_end(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    (void)sp_event_wait(&task_ends, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_end, sp_none, sp_none);

static sp_future *done[MOST], *lost[MOST]; /* `lost`: a worker of the parent runs the first, the others are queued */

static void make_futures(sp_executor *pool)
{
    sp_auto(sp_executor) at_once = sp_inline_pool();
    sp_event_set(&task_ends);
    for (int i = 0; i < MOST; i++)
        done[i] = sp_submit(at_once, wait_for_end, SP_NONE);
    sp_event_clear(&task_ends);
    for (int i = 0; i < MOST; i++)
        lost[i] = sp_submit(pool, wait_for_end, SP_NONE);
    test_await(sp_future_running(lost[0]));
}

/* The first so many are done. */
static void fill(sp_future **set, size_t n, size_t n_done)
{
    for (size_t i = 0; i < n; i++)
        set[i] = i < n_done ? done[i] : lost[i - n_done];
}

static void wait_in_child(sp_future *const *set, size_t n, size_t n_done)
{
    static const double limits[] = { SP_FOREVER, 60.0 };
    for (int i = 0; i < 2; i++) {
        stress_expect(sp_wait(set, n, SP_ALL_COMPLETED, limits[i]) == SP_SHUT_DOWN);
        stress_expect(sp_wait(set, n, SP_FIRST_ERROR, limits[i]) == SP_SHUT_DOWN);
        stress_expect(sp_wait(set, n, SP_FIRST_COMPLETED, limits[i]) == (n_done > 0 ? SP_OK : SP_SHUT_DOWN));
    }
}

/* So many are left that are done. */
static void read_in_child(sp_completion *set, size_t n_done)
{
    size_t given = 0;
    while (sp_next(set) != NULL)
        given++;
    stress_expect(given == n_done);
    stress_expect(sp_completion_status(set) == SP_SHUT_DOWN);
}

/* `begun`: a set whose first was given in the parent, if one is done. */
static _Noreturn void use_sets_in_child(sp_future *const *set, size_t n, size_t n_done, sp_completion *begun)
{
    read_in_child(begun, n_done > 0 ? n_done - 1 : 0);
    wait_in_child(set, n, n_done);
    sp_completion *fresh = sp_as_completed(set, n, SP_FOREVER);
    read_in_child(fresh, n_done);
    sp_completion_release(fresh);
    leave_well();
}

static void use_sets_of(size_t n, size_t n_done)
{
    sp_future *set[MOST];
    fill(set, n, n_done);
    sp_completion *begun = sp_as_completed(set, n, SP_FOREVER);
    assert_true(n_done == 0 || sp_next(begun) != NULL);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        use_sets_in_child(set, n, n_done, begun);
    assert_true(child_is_well(child, CHILD_LIMIT));
    sp_completion_release(begun);
}

static void in_a_forked_child_no_set_waits_for_what_the_parent_runs(void **state)
{
    (void)state;
    static const size_t sizes[] = { 1, 2, 4, 5, 6, MOST };
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    make_futures(pool);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t n_done = 0; n_done < sizes[i]; n_done++)
            use_sets_of(sizes[i], n_done);
    sp_event_set(&task_ends);
    assert_int_equal(sp_wait(lost, MOST, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    sp_release_all(lost, MOST);
    sp_release_all(done, MOST);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

static int prepare(void **state)
{
    (void)state;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGCHLD);
    return pthread_sigmask(SIG_BLOCK, &one, NULL) | pipe2(well, O_CLOEXEC | O_NONBLOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_forked_child_no_set_waits_for_what_the_parent_runs),
    };
    return cmocka_run_group_tests_name("forked_set", tests, prepare, NULL);
}
