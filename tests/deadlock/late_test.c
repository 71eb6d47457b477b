/* A sleeper that runs code of the user's, in a hook that is called when its wait is late, does not wait meanwhile: nothing is
   reported that is no deadlock, what is one is reported afterwards, and it keeps no wake-up from others.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <spool.h>

#include "base/atomic.h"
#include "conformance/bunch.h"
#include "park/deadline.h"
#include "park/park.h"

static const char *program;
static sp_lock lock, log_lock;
static sp_event in_hook, hook_may_end, hook_ended, ring_is_made;
static uint32_t calls; /* atomic; of the hook */

/* ---- a waiter with a hook ---- */

static void nothing(void *context)
{
    (void)context;
}

static int64_t at_once(void *context, bool for_time_only)
{
    (void)context;
    return for_time_only ? SP__NEVER : sp__os_now() + 1000000;
}

/* The hook's own waits have no hook. */
static int64_t call_without_hooks(void *context)
{
    const struct sp__block_hooks *hooks = sp__self()->hooks;
    void (*const *fn)(void) = context;
    sp__self()->hooks = NULL;
    sp__add_relaxed(&calls, 1);
    (*fn)();
    sp__self()->hooks = hooks;
    return SP__NEVER;
}

static void (*in_the_hook)(void);
static const struct sp__block_hooks hooks = {
    .before = nothing, .after = nothing, .context = &in_the_hook, .alarm = at_once, .late = call_without_hooks
};

static void log_slowly(void)
{
    sp_lock_acquire(&log_lock);
    sp_event_set(&in_hook);
    sp_event_wait(&hook_may_end, SP_FOREVER);
    sp_lock_release(&log_lock);
    sp_event_set(&hook_ended);
}

static void keep_log_lock(void)
{
    sp_lock_acquire(&log_lock);
    sp_event_set(&in_hook);
    sp_event_wait(&hook_may_end, SP_FOREVER);
    sp_event_set(&hook_ended);
}

static void pause_in_hook(void)
{
    sp_event_set(&in_hook);
    sp_event_wait(&hook_may_end, SP_FOREVER);
    sp_event_set(&hook_ended);
}

static sp_status lock_with_hook(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp__self()->hooks = &hooks;
    sp_lock_acquire(&lock);
    sp_lock_release(&lock);
    sp__self()->hooks = NULL;
    return SP_OK;
}
SP_TASK(lock_with_hook, sp_none, sp_none);

static bool is_marked(const sp_lock *of)
{
    return sp__load_acquire(&of->sp_word_) >> 63;
}

/* ---- bodies of children ---- */

static sp_status end_hook_soon(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    test_await(is_marked(&log_lock)); /* main waits for what the hook has */
    for (int i = 0; i < 1000; i++)
        sched_yield();
    sp_event_set(&hook_may_end);
    return SP_OK;
}
SP_TASK(end_hook_soon, sp_none, sp_none);

/* Main has `lock`, for which the waiter waits, and wants what the waiter's hook has: no deadlock, for the hook ends. */
static void main_wants_what_the_hook_has(void)
{
    in_the_hook = log_slowly;
    sp_lock_acquire(&lock);
    sp_thread *waiter = sp_start(lock_with_hook), *ender = sp_start(end_hook_soon);
    sp_event_wait(&in_hook, SP_FOREVER);
    sp_lock_acquire(&log_lock);
    sp_lock_release(&log_lock);
    sp_lock_release(&lock);
    if (sp_join(waiter, NULL, SP_FOREVER) != SP_OK || sp_join(ender, NULL, SP_FOREVER) != SP_OK)
        _exit(96);
    sp_thread_release(waiter);
    sp_thread_release(ender);
    fprintf(stderr, "fine, %u calls\n", sp__load_relaxed(&calls));
}

/* The hook keeps what main wants.  The waiter's edge comes back after the hook, before main waits or after. */
static void hook_keeps_lock(bool hook_ends_first)
{
    in_the_hook = keep_log_lock;
    sp_lock_acquire(&lock);
    sp_thread_release(sp_start_with(SP_THREAD(.name = "waiter"), lock_with_hook));
    sp_event_wait(&in_hook, SP_FOREVER);
    if (hook_ends_first) {
        sp_event_set(&hook_may_end);
        sp_event_wait(&hook_ended, SP_FOREVER);
        for (int i = 0; i < 1000; i++)
            sched_yield();
    } else {
        sp_thread_release(sp_start(end_hook_soon));
    }
    sp_lock_acquire(&log_lock);
}

static sp_thread *second;

static sp_status take_both(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&log_lock);
    sp_lock_acquire(&lock);
    return SP_OK;
}
SP_TASK(take_both, sp_none, sp_none);

/* Short, until the other waiter sleeps, too; the next time it lasts. */
static int64_t stay_when_another_waits(void *context)
{
    (void)context;
    if (!thread_sleeps((long)sp_thread_native_id(second)))
        return sp__os_now() + 1000000;
    sp__self()->hooks = NULL;
    sp_event_set(&in_hook);
    sp_event_wait(&hook_may_end, SP_FOREVER);
    return SP__NEVER;
}

static sp_status wait_as_first(const sp_none *in, sp_none *out)
{
    static const struct sp__block_hooks staying = {
        .before = nothing, .after = nothing, .alarm = at_once, .late = stay_when_another_waits
    };
    (void)in, (void)out;
    sp__self()->hooks = &staying;
    sp_lock_acquire(&lock);
    return SP_OK;
}
SP_TASK(wait_as_first, sp_none, sp_none);

/* Two wait for main's lock.  The first is in its hook, and does not stand for the other: main wants what that has. */
static void first_of_two_is_in_its_hook(void)
{
    sp_lock_acquire(&lock);
    sp_thread_release(sp_start(wait_as_first));
    test_await(sp__park_maybe_waiters(&lock));
    second = sp_start(take_both);
    sp_event_wait(&in_hook, SP_FOREVER);
    sp_lock_acquire(&log_lock);
}

static void hook_closes_cycle(void)
{
    hook_keeps_lock(false);
}

static void hook_prepares_cycle(void)
{
    hook_keeps_lock(true);
}

/* The hook takes the very lock that is waited for, and keeps it. */
static void take_lock(void)
{
    sp_event_set(&in_hook);
    sp_lock_acquire(&lock);
}

static void hook_takes_awaited_lock(void)
{
    in_the_hook = take_lock;
    sp_lock_acquire(&lock);
    sp_thread *waiter = sp_start_with(SP_THREAD(.name = "waiter"), lock_with_hook);
    sp_event_wait(&in_hook, SP_FOREVER);
    sp_lock_release(&lock);
    (void)!sp_join(waiter, NULL, SP_FOREVER);
}

static const struct child_case cases[] = {
    { "wants", main_wants_what_the_hook_has }, { "closes", hook_closes_cycle },
    { "prepares", hook_prepares_cycle },       { "takes", hook_takes_awaited_lock },
    { "first", first_of_two_is_in_its_hook },
};

/* ---- the tests ---- */

static void what_a_hook_holds_for_a_while_is_no_deadlock(void **state)
{
    (void)state;
    for (long i = test_count(10); i > 0; i--) {
        struct child_end end = child_run(program, "wants", NULL);
        if (end.hung || !WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0)
            fail_msg("hung %d, status %x, said '%s'", end.hung, (unsigned)end.status, end.said);
        assert_non_null(strstr(end.said, "fine, 1 calls"));
    }
}

static void a_cycle_is_reported_though_a_hook_was_called_in_a_wait(void **state)
{
    (void)state;
    for (long i = test_count(10); i > 0; i--) {
        struct child_end end = child_run(program, i % 2 ? "closes" : "prepares", NULL);
        child_aborted(&end, "a cycle of 2: ");
    }
    struct child_end end = child_run(program, "takes", NULL);
    child_aborted(&end, "waits for the lock");
    end = child_run(program, "first", NULL);
    child_aborted(&end, "a cycle of 2: ");
}

static sp_future *ring[2];

/* In two pools, of which these are the workers' own hooks: the first waits with ours. */
static sp_status wait_for_other(const int *in, sp_status *out)
{
    const struct sp__block_hooks *own = sp__self()->hooks;
    if (*in == 0)
        sp__self()->hooks = &hooks;
    else
        sp_event_wait(&in_hook, SP_FOREVER);
    if (*in == 1)
        sp_event_set(&hook_may_end);
    *out = sp_result(ring[1 - *in], NULL, SP_FOREVER);
    sp__self()->hooks = own;
    return SP_OK;
}
SP_TASK(wait_for_other, int, sp_status);

static sp_status begin_ring(const sp_none *in, sp_status *out)
{
    (void)in;
    sp_event_wait(&ring_is_made, SP_FOREVER);
    return wait_for_other(&(int){ 0 }, out);
}
SP_TASK(begin_ring, sp_none, sp_status);

/* Two futures wait for one another; the cycle closes while the first waiter is in its hook, or just after. */
static void a_cycle_of_futures_that_closed_during_a_hook_is_refused_to_one(void **state)
{
    (void)state;
    in_the_hook = pause_in_hook;
    sp_executor *pools[2] = { sp_thread_pool(.max_workers = 1), sp_thread_pool(.max_workers = 1) };
    for (long i = test_count(50); i > 0; i--) {
        sp_event_clear(&in_hook);
        sp_event_clear(&hook_may_end);
        sp_event_clear(&ring_is_made);
        ring[0] = sp_submit(pools[0], begin_ring);
        ring[1] = sp_submit(pools[1], wait_for_other, 1);
        sp_event_set(&ring_is_made);
        int told = 0;
        for (int k = 0; k < 2; k++) {
            sp_status status = SP_OK;
            assert_int_equal(sp_result(ring[k], &status, SP_FOREVER), SP_OK);
            told += status == SP_DEADLOCK;
            assert_true(status == SP_DEADLOCK || status == SP_OK);
        }
        assert_int_equal(told, 1);
        sp_release_all(ring, 2);
    }
    for (int k = 0; k < 2; k++) {
        assert_int_equal(sp_shutdown(pools[k]), SP_OK);
        sp_executor_release(pools[k]);
    }
}

/* ---- wake-ups ---- */

static sp_status lock_without_hook(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&lock);
    sp_lock_release(&lock);
    return SP_OK;
}
SP_TASK(lock_without_hook, sp_none, sp_none);

/* The longest sleeper is in its hook when the lock is released: the next one gets it. */
static void a_sleeper_in_its_hook_takes_no_wake_up_from_others(void **state)
{
    (void)state;
    in_the_hook = pause_in_hook;
    for (long i = test_count(50); i > 0; i--) {
        sp_event_clear(&in_hook);
        sp_event_clear(&hook_may_end);
        sp_lock_acquire(&lock);
        sp_thread *late = sp_start(lock_with_hook);
        sp_event_wait(&in_hook, SP_FOREVER);
        sp_thread *other = sp_start(lock_without_hook);
        for (int k = 0; k < 20; k++)
            sched_yield(); /* so that it usually sleeps */
        sp_lock_release(&lock);
        assert_int_equal(sp_join(other, NULL, SP_FOREVER), SP_OK); /* though the hook has not ended */
        sp_event_set(&hook_may_end);
        assert_int_equal(sp_join(late, NULL, SP_FOREVER), SP_OK);
        sp_thread_release(late);
        sp_thread_release(other);
    }
}

static sp_condition condition;

static sp_status await_with_hook(const sp_none *in, bool *out)
{
    (void)in;
    sp_lock_acquire(&lock);
    sp__self()->hooks = &hooks;
    *out = sp_condition_wait(&condition, &lock, SP_FOREVER);
    sp__self()->hooks = NULL;
    sp_lock_release(&lock);
    return SP_OK;
}
SP_TASK(await_with_hook, sp_none, bool);

static void a_waiter_of_a_condition_is_notified_in_its_hook_too(void **state)
{
    (void)state;
    in_the_hook = pause_in_hook;
    sp_event_clear(&in_hook);
    sp_event_clear(&hook_may_end);
    sp_thread *late = sp_start(await_with_hook);
    sp_event_wait(&in_hook, SP_FOREVER);
    sp_condition_notify(&condition, 1);
    sp_event_set(&hook_may_end);
    bool notified = false;
    assert_int_equal(sp_join(late, &notified, SP_FOREVER), SP_OK);
    assert_true(notified);
    sp_thread_release(late);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_hook_holds_for_a_while_is_no_deadlock),
        cmocka_unit_test(a_cycle_is_reported_though_a_hook_was_called_in_a_wait),
        cmocka_unit_test(a_cycle_of_futures_that_closed_during_a_hook_is_refused_to_one),
        cmocka_unit_test(a_sleeper_in_its_hook_takes_no_wake_up_from_others),
        cmocka_unit_test(a_waiter_of_a_condition_is_notified_in_its_hook_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
