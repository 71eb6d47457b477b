/* The last handle of a thread or a timer goes while another thread, or the task itself, is in a call with it; and chains of them
   that own one another.  For the address sanitizer.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <string.h>

#include <spool.h>

#include "base/atomic.h"
#include "park/park.h"
#include "thread/thread.h"

/* ---- a task releases the only handle of its thread, by which another thread waits for it ---- */

static struct {
    sp_thread *thread; /* atomic: the handle, for the task to release */
    sp_timer *timer;   /* atomic: as well */
    bool in_call;      /* atomic: the other thread is about to call */
} stage;

static sp_status end_with(int in, int *out)
{
    *out = in + 1;
    return in < 0 ? SP_VALUE_ERROR : SP_OK;
}

/* The call of the other thread must have begun, or the handle is nobody's to call with. */
static sp_status release_own_thread(const int *in, int *out)
{
    test_await(sp__load_acquire(&stage.in_call));
    const sp_thread *thread = sp__load_acquire(&stage.thread);
    test_await(sp__park_maybe_waiters(&thread->state));
    sp_thread_release(sp__exchange_acq_rel(&stage.thread, NULL));
    return end_with(*in, out);
}
SP_TASK(release_own_thread, int, int);

static sp_thread *start(int arg)
{
    sp__store_release(&stage.in_call, false);
    sp_thread *thread = sp_start(release_own_thread, arg);
    assert_non_null(thread);
    sp__store_release(&stage.thread, thread);
    sp__store_release(&stage.in_call, true);
    return thread;
}

static void look_away(sp_thread *thread, const sp_error *error, void *context)
{
    (void)thread, (void)error, (void)context;
}

static void by_join(void)
{
    int result = 0;
    assert_int_equal(sp_join(start(5), &result, SP_FOREVER), SP_OK);
    assert_int_equal(result, 6);
}

static void by_join_of_what_fails(void)
{
    assert_int_equal(sp_join(start(-5), NULL, SP_FOREVER), SP_VALUE_ERROR);
}

static void by_join_in_time(void)
{
    int result = 0;
    assert_int_equal(sp_join(start(5), &result, 40), SP_OK);
    assert_int_equal(result, 6);
}

static void by_wait(void)
{
    assert_int_equal(sp_thread_wait(start(5), SP_FOREVER), SP_OK);
}

/* ---- the same with a timer ---- */

static sp_status release_own_timer(const int *in, int *out)
{
    sp_timer *timer;
    test_await((timer = sp__exchange_acq_rel(&stage.timer, NULL)) != NULL);
    sp_timer_release(timer);
    return end_with(*in, out);
}
SP_TASK(release_own_timer, int, int);

static sp_timer *start_timer(double seconds, int arg)
{
    sp_timer *timer = sp_timer_start(seconds, release_own_timer, arg);
    assert_non_null(timer);
    return timer;
}

static void by_nothing(void)
{
    sp__store_release(&stage.timer, start_timer(0, 5));
    test_await(sp__load_acquire(&stage.timer) == NULL);
}

static void *join_timer(void *timer)
{
    assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_CANCELLED);
    sp_timer_release(timer);
    return NULL;
}

/* Whoever joins it learns of the cancellation, and releases, while sp_timer_cancel() is on its way back. */
static void by_cancel(void)
{
    sp_timer *timer = start_timer(1000, 5);
    pthread_t joiner = test_thread(join_timer, timer);
    for (int i = (int)(test_count(100) % 7) * 40; i > 0; i--)
        sp__cpu_relax();
    assert_true(sp_timer_cancel(timer));
    test_join(joiner);
}

static void the_last_handle_may_go_during_a_call(void **state)
{
    void (*const calls[])(void) = { by_join, by_join_of_what_fails, by_join_in_time, by_wait, by_nothing, by_cancel };
    (void)state;
    sp_set_excepthook(look_away, NULL);
    for (long round = test_count(100); round > 0; round--)
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
            calls[i]();
    assert_true(sp_join_all(SP_FOREVER));
    sp_set_excepthook(NULL, NULL);
}

/* ---- another thread releases the handle of a timer that is being joined ---- */

static sp_event go;

static sp_status await_go(const int *in, int *out)
{
    assert_true(sp_event_wait(&go, SP_FOREVER));
    return end_with(*in, out);
}
SP_TASK(await_go, int, int);

static uint64_t joiner; /* atomic: the runner that joins */

static void *join_lent(void *timer)
{
    sp__store_release(&joiner, (uint64_t)(uintptr_t)sp__self()->thread_runner);
    assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_OK);
    return NULL;
}

/* Until the joiner sleeps without a limit: in sp_timer_join(), with a reference of its own. */
static bool joiner_sleeps(void)
{
    const struct sp__runner *runner = (const struct sp__runner *)(uintptr_t)sp__load_acquire(&joiner);
    return runner != NULL && sp__load_relaxed(&runner->sleeps) % 2 == 1;
}

static void another_thread_may_release_a_timer_that_is_joined(void **state)
{
    (void)state;
    for (long round = test_count(50); round > 0; round--) {
        sp_event_clear(&go);
        sp__store_release(&joiner, 0);
        sp_timer *timer = sp_timer_start(round % 2 == 0 ? 0 : 0.0005, await_go, 1);
        pthread_t thread = test_thread(join_lent, timer);
        test_await(joiner_sleeps());
        sp_timer_release(timer);
        sp_event_set(&go);
        test_join(thread);
    }
}

/* ---- chains: an argument owns the next, a value of a thread owns the first ---- */

struct link {
    sp_timer *timer;
    sp_thread *thread;
};
static uint32_t dropped; /* atomic */

static void drop_link(void *value)
{
    const struct link *link = value;
    sp__add_seq_cst(&dropped, 1);
    sp_timer_release(link->timer);
    sp_thread_release(link->thread);
}

static sp_status nothing(const struct link *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_OK;
}
SP_TASK_OWNING(nothing, struct link, sp_none, drop_link, NULL);

/* Each is cancelled, and keeps its argument until its last handle goes; one in `every` is a thread. */
static struct link make_chain(int n, int every)
{
    struct link last = { NULL, NULL };
    for (int i = 0; i < n; i++) {
        struct link next = { NULL, NULL };
        if (every != 0 && i % every == 0) {
            next.thread = sp_start(nothing, last.timer, last.thread);
            assert_int_equal(sp_join(next.thread, NULL, SP_FOREVER), SP_OK);
        } else {
            next.timer = sp_timer_start(1000, nothing, last.timer, last.thread);
            assert_true(sp_timer_cancel(next.timer));
        }
        last = next;
    }
    return last;
}

enum { TIMERS = 100000, MIXED = 10000, EVERY = 10 };

static void *release_chains(void *arg)
{
    (void)arg;
    struct link timers = make_chain(TIMERS, 0), mixed = make_chain(MIXED, EVERY);
    sp__store_seq_cst(&dropped, 0);
    drop_link(&timers);
    drop_link(&mixed);
    assert_int_equal(sp__load_seq_cst(&dropped), TIMERS + MIXED + 2);
    return NULL;
}

static void finish_link(void *value)
{
    drop_link(value);
}

static sp_local first_link = SP_LOCAL(struct link, NULL, finish_link);

static void *own_chain(void *arg)
{
    (void)arg;
    *(struct link *)sp_local_get(&first_link) = make_chain(TIMERS, 0);
    sp__store_seq_cst(&dropped, 0);
    return NULL;
}

/* Small, so that a chain which uses stack for each link does not pass by luck. */
static void run_on_small_stack(void *(*body)(void *))
{
    test_run_on_stack(256 * 1024, body, NULL);
}

static void a_chain_of_timers_and_threads_needs_no_stack(void **state)
{
    (void)state;
    run_on_small_stack(release_chains);
    run_on_small_stack(own_chain);
    assert_int_equal(sp__load_seq_cst(&dropped), TIMERS + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_handle_may_go_during_a_call),
        cmocka_unit_test(another_thread_may_release_a_timer_that_is_joined),
        cmocka_unit_test(a_chain_of_timers_and_threads_needs_no_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
