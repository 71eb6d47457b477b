/* Cycles that close when a lock passes from one owner to another while others sleep for it, cycles through sets of futures,
   long ones, and threads that end with something others wait for.  What ends in abort is a child of its own.

   SPDX-License-Identifier: MIT */
#include "child.h"
#include "deadlock/arrive.h"

#include <spool.h>

#include "base/atomic.h"
#include "thread/thread.h"

static const char *program;
static uint64_t random_state; /* of a child: where its threads dawdle */
static sp_lock x, other;
static sp_event never, go;

static void dawdle(void)
{
    for (uint64_t i = test_random(&random_state) % 20000; i > 0; i--)
        sp__cpu_relax();
}

/* ---- a lock passes on while others sleep for it ----
   Who gets it next is for the scheduler to say.  So each body does it again until it has happened, and was reported. */

static sp_thread *first, *second;
static uint32_t through; /* atomic; how many of the two have had the lock */

/* Is woken first.  `in`: it has a limit, so that it is no edge. */
static sp_status wait_before(const bool *in, sp_none *out)
{
    (void)out;
    arrive();
    if (*in)
        (void)sp_lock_acquire_timeout(&x, 1000);
    else
        sp_lock_acquire(&x);
    sp__add_relaxed(&through, 1);
    sp_lock_release(&x);
    return SP_OK;
}
SP_TASK(wait_before, bool, sp_none);

/* Sleeps for x, and holds what the next owner of x will want. */
static sp_status hold_other_and_wait(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_lock_acquire(&other);
    arrive();
    sp_lock_acquire(&x);
    sp__add_relaxed(&through, 1);
    sp_lock_release(&x);
    sp_lock_release(&other);
    return SP_OK;
}
SP_TASK(hold_other_and_wait, sp_none, sp_none);

/* The first sleeper gets the lock, and wants what the second has. */
static sp_status take_x_then_other(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    arrive();
    sp_lock_acquire(&x);
    dawdle();
    sp_lock_acquire(&other);
    sp_lock_release(&other);
    sp_lock_release(&x);
    return SP_OK;
}
SP_TASK(take_x_then_other, sp_none, sp_none);

static void let_two_sleep(sp_thread *one)
{
    first = one;
    sp_semaphore_acquire(&arrived);
    test_await(is_marked(&x));
    second = sp_start_with(SP_THREAD(.name = "second"), hold_other_and_wait);
    sp_semaphore_acquire(&arrived);
    test_await(sp__load_relaxed(&second->own.sleeps) % 2 == 1);
}

/* With a limit: main is not to look at anything by an edge of its own. */
static void join_both(void)
{
    (void)!sp_join(first, NULL, 1000);
    (void)!sp_join(second, NULL, 1000);
    sp_thread_release(first);
    sp_thread_release(second);
}

/* The owner takes the lock again before the sleeper that it has woken comes.  Then it waits for the other sleeper. */
static void overtake(bool first_is_timed)
{
    for (;;) {
        sp_lock_acquire(&x);
        let_two_sleep(sp_start_with(SP_THREAD(.name = "first"), wait_before, first_is_timed));
        sp_lock_release(&x);
        sp_lock_acquire(&x);
        dawdle();
        sp_lock_acquire(&other);
        sp_lock_release(&other);
        sp_lock_release(&x);
        join_both();
    }
}

static void overtake_untimed(void)
{
    overtake(false);
}

static void overtake_timed(void)
{
    overtake(true);
}

/* The same, but a third thread overtakes, and ends. */
static void *take_and_end(void *arg)
{
    sp_event_wait(&go, SP_FOREVER);
    while (!sp_lock_acquire_timeout(&x, SP_NOWAIT))
        continue;
    if (sp__load_relaxed(&through) == 2)
        sp_lock_release(&x); /* too late */
    return arg;
}

/* The same, but the third thread goes on, and wants what the second sleeper has. */
static void *take_x_and_want_other(void *arg)
{
    sp_event_wait(&go, SP_FOREVER);
    while (!sp_lock_acquire_timeout(&x, SP_NOWAIT))
        continue;
    sp_lock_acquire(&other);
    sp_lock_release(&other);
    sp_lock_release(&x);
    return arg;
}

static void overtake_and_want(bool first_is_timed)
{
    for (;;) {
        sp_event_clear(&go);
        sp_lock_acquire(&x);
        pthread_t thread = test_thread(take_x_and_want_other, NULL);
        let_two_sleep(sp_start_with(SP_THREAD(.name = "first"), wait_before, first_is_timed));
        sp_event_set(&go);
        dawdle();
        sp_lock_release(&x);
        join_both();
        test_join(thread);
    }
}

static void overtake_and_want_untimed(void)
{
    overtake_and_want(false);
}

static void overtake_and_want_timed(void)
{
    overtake_and_want(true);
}

static void overtake_and_end(bool first_is_timed)
{
    for (;;) {
        sp_event_clear(&go);
        sp__store_relaxed(&through, 0);
        sp_lock_acquire(&x);
        pthread_t thread = test_thread(take_and_end, NULL);
        let_two_sleep(sp_start_with(SP_THREAD(.name = "first"), wait_before, first_is_timed));
        sp_event_set(&go);
        dawdle();
        sp_lock_release(&x);
        join_both();
        test_join(thread);
    }
}

static void overtake_and_end_untimed(void)
{
    overtake_and_end(false);
}

static void overtake_and_end_timed(void)
{
    overtake_and_end(true);
}

static void pass_on(void)
{
    for (;;) {
        sp_lock_acquire(&x);
        let_two_sleep(sp_start(take_x_then_other));
        sp_lock_release(&x);
        join_both();
    }
}

/* ---- through a set of futures ---- */

enum { SET = 8 };

static sp_status wait_for_go(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    arrive();
    sp_event_wait(&go, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_for_go, sp_none, sp_none);

static sp_status take_x(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    arrive();
    sp_lock_acquire(&x);
    return SP_OK;
}
SP_TASK(take_x, sp_none, sp_none);

/* Main has x and waits for a set in which one task, not the first, wants it. */
static void wait_for_set(void)
{
    sp_future *set[SET];
    sp_executor *pool = sp_thread_pool(.max_workers = SET);
    sp_lock_acquire(&x);
    unsigned wants = 1 + (unsigned)(test_random(&random_state) % (SET - 1));
    for (unsigned i = 0; i < SET; i++)
        set[i] = i == wants ? sp_submit(pool, take_x) : sp_submit(pool, wait_for_go);
    for (unsigned i = test_random(&random_state) % SET; i > 0; i--)
        sp_semaphore_acquire(&arrived);
    (void)!sp_wait(set, SET, SP_ALL_COMPLETED, SP_FOREVER);
}

/* ---- a future that was queued when its waiter began to sleep ---- */

static sp_status wait_holding_x(sp_future *const *in, sp_none *out)
{
    (void)out;
    sp_lock_acquire(&x);
    arrive();
    return sp_result(*in, NULL, SP_FOREVER);
}
typedef sp_future *a_future;
SP_TASK(wait_holding_x, a_future, sp_none);

static void wait_for_queued_future(void)
{
    sp_executor *pool = sp_thread_pool(.max_workers = 1);
    sp_future *before = sp_submit(pool, wait_for_go), *queued = sp_submit(pool, take_x);
    sp_semaphore_acquire(&arrived);
    sp_thread *waiter = sp_start(wait_holding_x, queued);
    sp_semaphore_acquire(&arrived);
    if (test_random(&random_state) % 4 > 0)
        test_await(sp__load_relaxed(&waiter->own.sleeps) % 2 == 1);
    sp_thread_release(waiter);
    sp_event_set(&go);
    sp_future_release(before);
    while (!sp_event_wait(&never, 1000))
        continue;
}

/* ---- long cycles ---- */

#ifdef __SANITIZE_THREAD__
enum { LONG = 150 }; /* the thread sanitizer takes long for each thread */
#else
enum { LONG = 1100 };
#endif
static sp_lock ring[LONG];
static uint32_t holders; /* atomic */

static sp_status be_link(const int *in, sp_none *out)
{
    (void)out;
    sp_lock_acquire(&ring[*in]);
    sp__add_relaxed(&holders, 1);
    sp_event_wait(&go, SP_FOREVER);
    sp_lock_acquire(&ring[(*in + 1) % LONG]);
    return SP_OK;
}
SP_TASK(be_link, int, sp_none);

static void long_ring(void)
{
    for (int i = 0; i < LONG; i++)
        sp_thread_release(sp_start_with(SP_THREAD(.stack_size = 65536), be_link, i));
    test_await(sp__load_relaxed(&holders) == LONG);
    sp_event_set(&go);
    sp_event_wait(&never, SP_FOREVER);
}

/* ---- a notifier that ends with the lock ---- */

static sp_condition condition;

static sp_status await_condition(const double *in, sp_none *out)
{
    (void)out;
    sp_lock_acquire(&x);
    arrive();
    sp_condition_wait(&condition, &x, *in);
    return SP_OK;
}
SP_TASK(await_condition, double, sp_none);

static void *notify_and_end(void *arg)
{
    sp_lock_acquire(&x);
    sp_condition_notify_all(&condition);
    return arg;
}

static void notifier_ends(double limit)
{
    sp_thread_release(sp_start(await_condition, limit));
    sp_semaphore_acquire(&arrived);
    sp_lock_acquire(&x); /* it waits now */
    sp_lock_release(&x);
    test_join(test_thread(notify_and_end, NULL));
    sp_event_wait(&never, SP_FOREVER);
}

static void notifier_ends_untimed(void)
{
    notifier_ends(SP_FOREVER);
}

static void notifier_ends_timed(void)
{
    notifier_ends(1000);
}

static const struct child_case cases[] = {
    { "overtake", overtake_untimed },
    { "overtake, timed", overtake_timed },
    { "overtake and want", overtake_and_want_untimed },
    { "overtake and want, timed", overtake_and_want_timed },
    { "overtake and end", overtake_and_end_untimed },
    { "overtake and end, timed", overtake_and_end_timed },
    { "pass on", pass_on },
    { "set", wait_for_set },
    { "queued", wait_for_queued_future },
    { "ring", long_ring },
    { "notifier", notifier_ends_untimed },
    { "notifier, timed", notifier_ends_timed },
};

/* ---- the tests ---- */

static void aborts_always(const char *name, const char *words, long times)
{
    static uint64_t seed;
    char text[32];
    if (seed == 0)
        seed = test_seed();
    for (; times > 0; times--) {
        snprintf(text, sizeof text, "%" PRIu64, test_random(&seed));
        struct child_end end = child_run(program, name, text);
        child_aborted(&end, words);
    }
}

static void a_cycle_over_a_lock_that_passed_on_is_reported(void **state)
{
    (void)state;
    aborts_always("overtake", "a cycle of 2: ", test_count(20));
    aborts_always("overtake, timed", "a cycle of 2: ", test_count(20));
    aborts_always("overtake and want", "a cycle of 2: ", test_count(20));
    aborts_always("overtake and want, timed", "a cycle of 2: ", test_count(20));
    aborts_always("pass on", "a cycle of 2: ", test_count(20));
}

static void an_owner_that_overtook_and_ended_is_reported(void **state)
{
    (void)state;
    aborts_always("overtake and end", "which has ended", test_count(20));
    aborts_always("overtake and end, timed", "which has ended", test_count(20));
}

static void a_cycle_through_any_future_of_a_set_is_reported(void **state)
{
    (void)state;
    aborts_always("set", "a cycle of 2: ", test_count(20));
}

static void a_cycle_over_a_future_that_was_queued_is_reported(void **state)
{
    (void)state;
    aborts_always("queued", "a cycle of 2: ", test_count(20));
}

static void a_long_cycle_is_reported_in_short(void **state)
{
    (void)state;
    char words[64];
    snprintf(words, sizeof words, "a cycle of %d: ", LONG);
    aborts_always("ring", words, 1);
    snprintf(words, sizeof words, "; and %d more", LONG - 16);
    aborts_always("ring", words, 1);
}

static void a_notifier_that_ends_with_the_lock_is_reported(void **state)
{
    (void)state;
    aborts_always("notifier", "waits for the lock", test_count(5));
    aborts_always("notifier, timed", "which has ended", test_count(5));
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 2)
        random_state = strtoull(argv[2], NULL, 10);
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cycle_over_a_lock_that_passed_on_is_reported),
        cmocka_unit_test(an_owner_that_overtook_and_ended_is_reported),
        cmocka_unit_test(a_cycle_through_any_future_of_a_set_is_reported),
        cmocka_unit_test(a_cycle_over_a_future_that_was_queued_is_reported),
        cmocka_unit_test(a_long_cycle_is_reported_in_short),
        cmocka_unit_test(a_notifier_that_ends_with_the_lock_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
