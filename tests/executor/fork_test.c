/* A task of an inline pool forks: what is queued behind it is the parent's to run, however the pool was being driven.

   SPDX-License-Identifier: MIT */
#include "fork.h"

#include <spool.h>

static const char *program;

enum { QUEUED = 5, SEEDS = 4 };
static sp_executor *pool, *other;
static sp_future *forking;
static unsigned ran, ran_before; /* tasks; at the fork */
static bool is_child;

static sp_status count(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    ran++;
    return SP_OK;
}
SP_TASK(count, sp_none, sp_none);

static sp_status fork_here(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    ran_before = ran;
    fflush(NULL);
    pid_t child = fork();
    is_child = child == 0;
    if (is_child)
        fork_limit();
    else
        fork_ends(child, 51);
    return SP_OK;
}
SP_TASK(fork_here, sp_none, sp_none);

/* How the queued tasks are run. */
static void by_result(void)
{
    must(sp_result(forking, NULL, SP_FOREVER) == SP_OK);
}

static void by_idle(void)
{
    must(sp_executor_wait_idle(pool, SP_FOREVER));
}

static void by_shutdown(void)
{
    must(sp_shutdown(pool) == SP_OK);
}

static void by_release(void)
{
    sp_executor_release(pool);
    pool = NULL;
}

static void (*const ways[])(void) = { by_result, by_idle, by_shutdown, by_release };
enum { WAYS = sizeof ways / sizeof ways[0] };

static sp_status leave_well(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    _exit(51);
}
SP_TASK(leave_well, sp_none, sp_none);

/* It runs nothing that was queued, and the future of the one that forked is done; its exit runs what it has queued itself. */
static _Noreturn void leave_in_child(void)
{
    must(ran == ran_before && sp_result(forking, NULL, SP_FOREVER) == SP_OK);
    sp_executor *own = sp_inline_pool(.seed = 1);
    sp_auto(sp_future) of_own = sp_submit(own, count);
    must(sp_result(of_own, NULL, SP_FOREVER) == SP_OK && ran == ran_before + 1);
    must(sp_post(own, leave_well) == SP_OK);
    exit(52);
}

static void fork_by(void (*way)(void), uint64_t seed)
{
    ran = 0;
    other = sp_inline_pool(.seed = seed); /* the parent has more than one, and this one has something to do */
    pool = sp_inline_pool(.seed = seed);
    must(sp_post(other, count) == SP_OK);
    forking = sp_submit(pool, fork_here);
    for (int i = 0; i < QUEUED; i++)
        must(sp_post(pool, count) == SP_OK);
    way();
    if (is_child)
        leave_in_child();
    sp_executor_release(pool);
    must(ran == QUEUED && sp_shutdown(other) == SP_OK && ran == QUEUED + 1);
    sp_executor_release(other);
    sp_future_release(forking);
}

static void drive(void)
{
    unsigned behind = 0; /* how often something was queued behind the one that forked */
    for (int way = 0; way < WAYS; way++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            fork_by(ways[way], seed);
            behind += ran_before < QUEUED;
        }
    must(behind >= WAYS);
}

static const struct child_case cases[] = { { "drive", drive } };

static void what_is_queued_behind_a_task_that_forks_runs_in_the_parent_only(void **state)
{
    (void)state;
    fork_case_passes(program, "drive");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_queued_behind_a_task_that_forks_runs_in_the_parent_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
