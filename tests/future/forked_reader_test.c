/* Sets and waits that a fork meets half-way: what was given is not given again, what ended on the way is not forgotten, and
   what only the parent can end is not waited for.

   SPDX-License-Identifier: MIT */
#include "fork.h"

#include <spool.h>

#include "future/future.h"
#include "os/fault.h"
#include "park/word_lock.h"

enum { N = 7 };

static const char *program;
static sp_future *futures[N]; /* nobody's: each process may end its own */
static sp_completion *set;
static sp_executor *pool;
static sp_event may_end;

static sp_status pass(const int *in, int *out)
{
    *out = *in;
    return SP_OK;
}
SP_TASK(pass, int, int);

static sp_status hold(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    (void)sp_event_wait(&may_end, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold, sp_none, sp_none);

static sp_future *fresh(void)
{
    return sp_future_new(&pass_sp_task, &(int){ 1 });
}

static void finish(sp_future *future)
{
    must(sp_future_set_result(future, &(int){ 2 }, sizeof(int)) == SP_OK);
}

static void make_futures(void)
{
    for (int i = 0; i < N; i++)
        futures[i] = fresh();
}

/* ---- one is ended while the reader sleeps ---- */

static uint32_t asleep; /* atomic */

static void falls_asleep(void *context)
{
    (void)context;
    sp__store_release(&asleep, 1); /* pairs with the acquire below */
}

static void wakes_up(void *context)
{
    (void)context;
}

static void *finish_when_asleep(void *future)
{
    enum { SECONDS = 10 };
    double end = sp_monotonic() + SECONDS;
    for (unsigned look = 0; !sp__load_acquire(&asleep) && sp_monotonic() < end; look++)
        test_pause(look);
    must(sp__load_acquire(&asleep));
    finish(future);
    return NULL;
}

static void read_asleep(sp_future *expected)
{
    struct sp__block_hooks hooks = { .before = falls_asleep, .after = wakes_up };
    sp__store_release(&asleep, 0); /* pairs with the acquire above */
    pthread_t other = test_thread(finish_when_asleep, expected);
    sp__self()->hooks = &hooks;
    must(sp_next(set) == expected);
    sp__self()->hooks = NULL;
    test_join(other);
}

/* ---- a set of which the first is given, and others are ready, not in the order of the set ---- */

static void end_of_set(void)
{
    read_asleep(futures[5]);
    finish(futures[6]);
    must(sp_next(set) == futures[6]);
    must(sp_next(set) == NULL && sp_completion_status(set) == SP_OK);
    sp_completion_release(set);
    sp_release_all(futures, N);
}

/* They are told anew, in the order of the set: the last of them was not the last before. */
static void reversed_in_child(void)
{
    must(sp_next(set) == futures[1] && sp_next(set) == futures[2]);
    read_asleep(futures[3]);
    finish(futures[4]);
    must(sp_next(set) == futures[4]);
    end_of_set();
}

static void begun_in_child(void)
{
    finish(futures[4]); /* before the set is read here: it is not told */
    must(sp_next(set) == futures[1] && sp_next(set) == futures[2]);
    must(sp_next(set) == futures[3] && sp_next(set) == futures[4]);
    end_of_set();
}

static void begun(void)
{
    make_futures();
    set = sp_as_completed((sp_future *[]){ futures[0], futures[1], futures[0], futures[2], futures[3], futures[4],
                                           futures[5], futures[6], futures[1] },
                          N + 2, SP_FOREVER);
    finish(futures[0]);
    finish(futures[2]);
    finish(futures[1]);
    must(sp_next(set) == futures[0]);
    forked(reversed_in_child);
    finish(futures[3]);
    forked(begun_in_child);
    must(sp_next(set) == futures[2] && sp_next(set) == futures[1] && sp_next(set) == futures[3]);
    finish(futures[4]);
    must(sp_next(set) == futures[4]);
    end_of_set();
}

/* ---- what is the parent's ---- */

static sp_future *held, *done;

static void open_pool(void)
{
    make_futures();
    pool = sp_thread_pool(.max_workers = 1);
    done = sp_submit(pool, pass, 3);
    must(sp_result(done, NULL, SP_FOREVER) == SP_OK);
    held = sp_submit(pool, hold, SP_NONE);
}

static void close_pool(void)
{
    sp_event_set(&may_end);
    sp_release_all(futures, N);
    must(sp_result(held, NULL, SP_FOREVER) == SP_OK && sp_shutdown(pool) == SP_OK);
    sp_future_release(held);
    sp_future_release(done);
    sp_executor_release(pool);
}

/* What the parent's pool has done is no reason not to wait for the others. */
static void done_in_child(void)
{
    set = sp_as_completed((sp_future *[]){ futures[0], done }, 2, SP_FOREVER);
    must(sp_next(set) == done);
    read_asleep(futures[0]);
    must(sp_next(set) == NULL && sp_completion_status(set) == SP_OK);
}

static void looked_in_child(void)
{
    must(sp_next(set) == NULL && sp_completion_status(set) == SP_SHUT_DOWN);
}

/* The reader has looked, before the fork, for what is hopeless. */
static void looked(void)
{
    open_pool();
    forked(done_in_child);
    set = sp_as_completed((sp_future *[]){ held, futures[0], futures[1] }, 3, SP_FOREVER);
    read_asleep(futures[0]);
    forked(looked_in_child);
    read_asleep(futures[1]);
    sp_completion_release(set);
    close_pool();
}

static void wait_in_child(void)
{
    for (int place = 0; place <= N; place++) {
        sp_future *all[N + 1];
        for (int i = 0; i <= N; i++)
            all[i] = i == place ? held : futures[i < place ? i : i - 1];
        must(sp_wait(all, N + 1, SP_ALL_COMPLETED, SP_FOREVER) == SP_SHUT_DOWN);
    }
}

static void mixed(void)
{
    open_pool();
    forked(wait_in_child);
    close_pool();
}

/* ---- somebody was just setting it ---- */

static void settling_in_child(void)
{
    must(sp_future_set_result(futures[0], &(int){ 2 }, sizeof(int)) == SP_INVALID_STATE);
    must(sp_future_set_error(futures[0], &(sp_error){ .status = SP_OS_ERROR }) == SP_INVALID_STATE);
    must(sp_result(futures[0], NULL, SP_FOREVER) == SP_SHUT_DOWN && sp_future_running(futures[0]));
    finish(futures[1]);
}

static void settling(void)
{
    make_futures();
    must(sp__word_move(&futures[0]->word, SP__PENDING, SP__SETTLING)); /* as the thread does that sets it */
    forked(settling_in_child);
    must(sp__word_move(&futures[0]->word, SP__SETTLING, SP__PENDING));
    finish(futures[0]);
    must(!sp_future_done(futures[1]));
    sp_release_all(futures, N);
}

/* ---- another thread has the lock of the set ---- */

static struct sp__word_lock *lock_of_set(void)
{
    return (struct sp__word_lock *)(void *)set; /* what it begins with */
}

static sp_semaphore has_lock;

static void *hold_lock(void *arg)
{
    sp__word_lock_acquire(lock_of_set());
    must(sp_semaphore_release(&has_lock, 1) == SP_OK);
    (void)sp_event_wait(&may_end, SP_FOREVER);
    sp__word_lock_release(lock_of_set());
    return arg;
}

static void locked_in_child(void)
{
    finish(futures[0]); /* the set is told later */
    must(sp_next(set) == futures[0]);
    read_asleep(futures[1]);
    sp_completion_release(set);
}

static void locked(void)
{
    make_futures();
    set = sp_as_completed(futures, N, SP_FOREVER);
    pthread_t holder = test_thread(hold_lock, NULL);
    sp_semaphore_acquire(&has_lock);
    forked(locked_in_child);
    sp_event_set(&may_end);
    test_join(holder);
    read_asleep(futures[1]);
    sp_completion_release(set);
    sp_release_all(futures, N);
}

/* ---- a task that a waiter of an inline pool runs forks ---- */

static bool has_forked, is_child;

static sp_status fork_once(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    if (!has_forked) {
        has_forked = true;
        is_child = is_forked_child();
    }
    return SP_OK;
}
SP_TASK(fork_once, sp_none, sp_none);

static void driven(void)
{
    sp_future *tasks[N];
    pool = sp_inline_pool(.seed = 7);
    for (int i = 0; i < N; i++)
        tasks[i] = sp_submit(pool, fork_once, SP_NONE);
    uint64_t blocks = sp__fault_blocks();
    sp_status status = sp_wait(tasks, N, SP_ALL_COMPLETED, SP_FOREVER);
    must(has_forked && status == (is_child ? SP_SHUT_DOWN : SP_OK));
    must(sp__fault_blocks() <= blocks);
    if (is_child)
        _exit(0);
    sp_release_all(tasks, N);
    sp_executor_release(pool);
}

/* ---- the tests ---- */

static const struct child_case cases[] = {
    { "begun", begun },       { "looked", looked }, { "mixed", mixed },
    { "settling", settling }, { "locked", locked }, { "driven", driven },
};

static void a_set_that_was_begun_before_is_read_to_its_end(void **state)
{
    (void)state;
    fork_case_passes(program, "begun");
}

static void a_set_of_which_the_parent_must_end_some_is_refused(void **state)
{
    (void)state;
    fork_case_passes(program, "looked");
    fork_case_passes(program, "mixed");
}

static void a_future_that_was_being_set_is_not_waited_for(void **state)
{
    (void)state;
    fork_case_passes(program, "settling");
}

static void the_lock_of_a_set_is_free(void **state)
{
    (void)state;
    fork_case_passes(program, "locked");
}

static void a_wait_in_which_a_task_forked_ends_in_both(void **state)
{
    (void)state;
    fork_case_passes(program, "driven");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_that_was_begun_before_is_read_to_its_end),
        cmocka_unit_test(a_set_of_which_the_parent_must_end_some_is_refused),
        cmocka_unit_test(a_future_that_was_being_set_is_not_waited_for),
        cmocka_unit_test(the_lock_of_a_set_is_free),
        cmocka_unit_test(a_wait_in_which_a_task_forked_ends_in_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
