/* A lock that is kept free for an heir, the thread that has waited longest for it: what a fork makes of it.

   SPDX-License-Identifier: MIT */
#include "fork.h"

#include <spool.h>

#include "base/atomic.h"

#define HANDOFF (UINT64_C(1) << 62)

static const char *program;
static sp_lock lock;
static uint32_t stops; /* atomic */

static bool has_heir(void)
{
    return sp__load_acquire(&lock.sp_word_) & HANDOFF;
}

static void *take_again_and_again(void *arg)
{
    while (!sp__load_acquire(&stops)) {
        sp_lock_acquire(&lock);
        sp_lock_release(&lock);
    }
    return arg;
}

/* The caller holds the lock for longer than anybody should wait for it, and takes it before the one that it has woken. */
static bool make_heir(void)
{
    sp_sleep(0.002);
    sp_lock_release(&lock);
    sp_lock_acquire(&lock);
    for (int i = 0; i < 1000 && !has_heir(); i++)
        sched_yield();
    return has_heir();
}

static pthread_t start_heir(void)
{
    pthread_t heir = test_thread(take_again_and_again, NULL);
    sp_lock_acquire(&lock);
    test_await(make_heir());
    return heir;
}

static void end_heir(pthread_t heir)
{
    sp__store_release(&stops, 1);
    sp_lock_release(&lock);
    test_join(heir);
    sp__store_release(&stops, 0);
}

/* It is not in the child, and the lock is to be had. */
static void heir_of_the_parent(void)
{
    pthread_t heir = start_heir();
    if (is_forked_child()) {
        sp_lock_release(&lock);
        must(sp_lock_acquire_timeout(&lock, SP_NOWAIT));
        sp_lock_release(&lock);
        _exit(0);
    }
    end_heir(heir);
    _exit(0);
}

/* The same when the parent is the child of another process. */
static void heir_of_the_childs_child(void)
{
    if (is_forked_child())
        heir_of_the_parent();
    _exit(0);
}

/* It is next, whoever looks at the lock. */
static void heir_of_the_child(void)
{
    if (!is_forked_child())
        _exit(0);
    pthread_t heir = start_heir();
    must(!sp_lock_acquire_timeout(&lock, SP_NOWAIT));
    must(has_heir());
    end_heir(heir);
    _exit(0);
}

static const struct child_case cases[] = { { "parent", heir_of_the_parent },
                                           { "child", heir_of_the_child },
                                           { "child's child", heir_of_the_childs_child } };

static void a_lock_is_not_kept_for_an_heir_that_the_fork_has_lost(void **state)
{
    (void)state;
    fork_case_passes(program, "parent");
    fork_case_passes(program, "child's child");
}

static void an_heir_in_the_child_is_next(void **state)
{
    (void)state;
    fork_case_passes(program, "child");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_is_not_kept_for_an_heir_that_the_fork_has_lost),
        cmocka_unit_test(an_heir_in_the_child_is_next),
    };
    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
