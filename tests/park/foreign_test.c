/* Threads that were not started here: their records come and go, also of those that end in an unusual way.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <spool.h>

#include "base/atomic.h"
#include "base/nested.h"
#include "os/fault.h"
#include "park/park.h"
#include "thread/thread.h"

static const char *program;

static void *use_the_library(void *arg)
{
    (void)sp__self();
    return arg;
}

static void use_it_in_threads(int n)
{
    for (int i = 0; i < n; i++)
        test_join(test_thread(use_the_library, NULL));
}

static void the_records_of_threads_that_ended_are_given_back(void **state)
{
    (void)state;
    use_it_in_threads(1);
    uint64_t before = sp__fault_blocks();
    use_it_in_threads(20);
    assert_int_equal(sp__fault_blocks(), before);
}

/* ---- threads that end without notice ---- */

enum { ROUNDS = 4 }; /* of key destructors */
static pthread_key_t key;
static _Thread_local int rounds;
static sp_lock lock;
static bool takes_lock, takes_long;
static sp_event may_end;

/* The first use of the library is in the last round: nobody will tell of the end of this thread. */
static void use_it_at_last(void *value)
{
    if (++rounds < ROUNDS) {
        pthread_setspecific(key, value);
        return;
    }
    (void)sp__self();
    if (takes_lock)
        sp_lock_acquire(&lock);
    if (takes_long)
        (void)sp_event_wait(&may_end, SP_FOREVER);
}

#ifndef __SANITIZE_THREAD__ /* which has forgotten the thread in its last round */
static void *end_without_notice(void *arg)
{
    pthread_setspecific(key, &rounds);
    return arg;
}

static void threads_that_ended_without_notice_are_found_by_those_that_come(void **state)
{
    (void)state;
    use_it_in_threads(1);
    uint64_t before = sp__fault_blocks();
    for (int i = 0; i < 10; i++)
        test_join(test_thread(end_without_notice, NULL));
    assert_true(sp__fault_blocks() > before);
    use_it_in_threads(20);
    assert_int_equal(sp__fault_blocks(), before);
}

static sp_event living_may_end;
static uint32_t living; /* atomic */

static void *live(void *arg)
{
    (void)sp__self();
    sp__add_seq_cst(&living, 1);
    (void)sp_event_wait(&living_may_end, SP_FOREVER);
    return arg;
}

/* Those that come look at the records of the living as well; there are soon no more of the others than of these. */
static void records_of_threads_that_ended_without_notice_do_not_pile_up_behind_the_living(void **state)
{
    enum { LIVING = 10, ENDED = 400 };
    (void)state;
    pthread_t threads[LIVING];
    for (int i = 0; i < LIVING; i++)
        threads[i] = test_thread(live, NULL);
    test_await(sp__load_seq_cst(&living) == LIVING);
    uint64_t before = sp__fault_blocks();
    for (int i = 0; i < ENDED; i++)
        test_join(test_thread(end_without_notice, NULL));
    assert_in_range(sp__fault_blocks(), before, before + 3 * LIVING);
    sp_event_set(&living_may_end);
    for (int i = 0; i < LIVING; i++)
        test_join(threads[i]);
}

static void *find_it(void *arg)
{
    test_await(sp__park_maybe_waiters(&lock));
    (void)sp__self();
    return arg;
}

static void wait_for_its_lock(void)
{
    (void)!sp_thread_set_name(sp_thread_current(), "renamed");
    takes_lock = true;
    test_join(test_thread(end_without_notice, NULL));
    pthread_t finder = test_thread(find_it, NULL);
    sp_lock_acquire(&lock);
    test_join(finder);
}

static void a_lock_of_a_thread_that_ended_without_notice_is_reported(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "lock", NULL);
    child_aborted(&end, "which has ended");
    child_aborted(&end, "renamed (id ");
}

static sp_status end_late(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    pthread_setspecific(key, &rounds);
    return SP_OK;
}
SP_TASK(end_late, sp_none, sp_none);

/* It took the lock when it was told that it had ended, and is known to be gone since it was joined. */
static void wait_for_lock_of_joined(void)
{
    takes_lock = true;
    sp_thread *thread = sp_start(end_late);
    (void)!sp_join(thread, NULL, SP_FOREVER);
    sp_thread_release(thread);
    sp_lock_acquire(&lock);
}

static void a_lock_of_a_thread_that_was_joined_is_reported(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "joined", NULL);
    child_aborted(&end, "which has ended");
}

static void *join_it(void *thread)
{
    (void)!sp_thread_wait(thread, SP_FOREVER);
    return thread;
}

/* Its last destructor waits for the lock of one who joins it; another joined it first, and is at it. */
static void join_as_second_with_its_lock(void)
{
    takes_lock = true;
    sp_lock_acquire(&lock);
    sp_thread *thread = sp_start(end_late);
    test_await(sp__park_maybe_waiters(&lock));
    test_thread(join_it, thread);
    test_await(sp__load_acquire(&thread->collector) == 1);
    (void)!sp_join(thread, NULL, SP_FOREVER);
}

static void a_join_beside_another_that_can_never_end_is_reported(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "joined twice", NULL);
    child_aborted(&end, "a cycle of 2: ");
    child_aborted(&end, "waits for the end of the thread");
}

static void a_join_keeps_its_limit_while_the_last_destructors_run(void **state)
{
    (void)state;
    takes_long = true;
    sp_thread *thread = sp_start(end_late);
    test_await(!sp_thread_is_alive(thread));
    assert_int_equal(sp_join(thread, NULL, 0.01), SP_TIMEOUT);
    sp_event_set(&may_end);
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
    sp_thread_release(thread);
    takes_long = false;
}
#endif

/* ---- threads of whose end nobody is told ---- */

static void *wait_unlisted(void *arg)
{
    sp__fault_arm(1, true);
    bool has_id = sp__self_id() != 0;
    assert_true(sp__fault_disarm() > 0 && has_id);
    assert_null(sp_thread_current());
    sp_lock_acquire(&lock);
    sp_lock_release(&lock);
    assert_false(sp__self()->known); /* its record is in its own memory, which goes with it */
    return arg;
}

static void a_thread_of_whose_end_nobody_is_told_is_known_while_it_waits(void **state)
{
    (void)state;
    use_it_in_threads(1);
    sp_lock_acquire(&lock);
    pthread_t thread = test_thread(wait_unlisted, NULL);
    test_await(sp__park_maybe_waiters(&lock));
    sp_lock_release(&lock);
    test_join(thread);
}

/* ---- a thread that ends in the middle of drops ---- */

static struct sp__nested_call calls[SP__MOST_NESTED + 1];
static int made;
static unsigned depth_at_end = 99;

/* Each makes the next; the last is too deep, and put off, when the thread ends. */
static void nest_and_end(struct sp__nested_call *call)
{
    made++;
    if (call == &calls[SP__MOST_NESTED])
        return;
    (call + 1)->run = nest_and_end;
    sp__call_nested(call + 1);
    if (call == &calls[SP__MOST_NESTED - 1])
        pthread_exit(NULL);
}

static pthread_key_t end_key;

static void note_depth(void *value)
{
    (void)value;
    depth_at_end = sp__nesting.depth;
}

static void *end_in_a_drop(void *arg)
{
    (void)sp__self();
    pthread_setspecific(end_key, &made);
    calls[0].run = nest_and_end;
    sp__call_nested(&calls[0]);
    return arg;
}

static void what_a_thread_has_put_off_is_done_at_its_end(void **state)
{
    (void)state;
    assert_int_equal(pthread_key_create(&end_key, note_depth), 0);
    test_join(test_thread(end_in_a_drop, NULL));
    assert_int_equal(made, SP__MOST_NESTED + 1);
    assert_int_equal(depth_at_end, 0);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (pthread_key_create(&key, use_it_at_last) != 0)
        return 98;
#ifndef __SANITIZE_THREAD__
    static const struct child_case cases[] = { { "lock", wait_for_its_lock },
                                               { "joined", wait_for_lock_of_joined },
                                               { "joined twice", join_as_second_with_its_lock } };
    if (argc > 1)
        return child_main(cases, sizeof cases / sizeof cases[0], argv[1]);
#else
    printf("not under the thread sanitizer: threads that end without notice%s\n", argc > 1 ? argv[1] : "");
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_records_of_threads_that_ended_are_given_back),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(threads_that_ended_without_notice_are_found_by_those_that_come),
        cmocka_unit_test(records_of_threads_that_ended_without_notice_do_not_pile_up_behind_the_living),
        cmocka_unit_test(a_lock_of_a_thread_that_ended_without_notice_is_reported),
        cmocka_unit_test(a_lock_of_a_thread_that_was_joined_is_reported),
        cmocka_unit_test(a_join_beside_another_that_can_never_end_is_reported),
        cmocka_unit_test(a_join_keeps_its_limit_while_the_last_destructors_run),
#endif
        cmocka_unit_test(a_thread_of_whose_end_nobody_is_told_is_known_while_it_waits),
        cmocka_unit_test(what_a_thread_has_put_off_is_done_at_its_end),
    };
    return cmocka_run_group_tests_name("foreign", tests, NULL, NULL);
}
