/* Threads that others see while they start: whoever lists, joins or renames them, and starts that fail meanwhile.

   SPDX-License-Identifier: MIT */
#include "testing.h"

#include <errno.h>
#include <string.h>

#include <spool.h>

#include "base/atomic.h"

enum { SEEN = 64 };

static uint32_t stop, ended; /* atomic */

static sp_status count_end(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp__add_seq_cst(&ended, 1);
    return SP_OK;
}
SP_TASK(count_end, sp_none, sp_none);

static sp_status pass(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_OK;
}
SP_TASK(pass, sp_none, sp_none); /* of daemons, for which nobody waits */

/* Threads, workers of pools that end at once, and threads of timers. */
static void *start_some(void *arg)
{
    while (!sp__load_acquire(&stop)) {
        sp_thread_release(sp_start(count_end));
        sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2, .idle_seconds = 1e-6);
        sp_auto(sp_future) future = sp_submit(pool, count_end);
        sp_timer_release(sp_timer_start(0, count_end));
        sp_thread_release(sp_start_with(SP_THREAD(.daemon = true, .stack_size = 65536), pass));
    }
    return arg;
}

static sp_thread *start_in_vain(void)
{
    return sp_start_with(SP_THREAD(.stack_size = (size_t)1 << 46), count_end);
}

static void *fail_to_start(void *arg)
{
    while (!sp__load_acquire(&stop))
        if (start_in_vain() != NULL || errno == 0)
            abort();
    return arg;
}

static void look_at(sp_thread *thread)
{
    if (strlen(sp_thread_name(thread)) == 0 || sp_thread_ident(thread) == 0 || sp_thread_native_id(thread) == 0)
        abort();
    if (sp_thread_set_name(thread, "renamed") != SP_OK)
        abort();
}

static void for_all_seen(void (*see)(sp_thread *thread))
{
    sp_thread *seen[SEEN];
    size_t n = sp_thread_enumerate(seen, SEEN);
    for (size_t i = 0; i < n && i < SEEN; i++) {
        if (seen[i] != sp_thread_main())
            see(seen[i]);
        sp_thread_release(seen[i]);
    }
}

static void join_shortly(sp_thread *thread)
{
    sp_status status = sp_thread_wait(thread, 0.002); /* workers go on */
    if (status != SP_OK && status != SP_TIMEOUT)
        abort();
}

static void while_others(void *(*start)(void *), void (*act)(void))
{
    sp__store_relaxed(&stop, 0); /* relaxed: before the threads */
    pthread_t starters[2];
    for (int i = 0; i < 2; i++)
        starters[i] = test_thread(start, NULL);
    for (long i = test_count(200); i > 0; i--)
        act();
    sp__store_release(&stop, 1);
    for (int i = 0; i < 2; i++)
        test_join(starters[i]);
    assert_true(sp_join_all(SP_FOREVER));
}

static void join_all(void)
{
    (void)sp_join_all(0.05);
}

static void look_at_all(void)
{
    for_all_seen(look_at);
}

static void join_what_is_seen(void)
{
    for_all_seen(join_shortly);
}

static void threads_are_joined_while_they_start(void **state)
{
    (void)state;
    while_others(start_some, join_all);
}

static void threads_are_looked_at_while_they_start(void **state)
{
    (void)state;
    while_others(start_some, look_at_all);
}

static void threads_are_waited_for_while_they_start(void **state)
{
    (void)state;
    while_others(start_some, join_what_is_seen);
}

static void a_thread_that_fails_to_start_is_never_seen(void **state)
{
    (void)state;
    test_await(sp_thread_active_count() == 1); /* daemons of the test before may be left */
    while_others(fail_to_start, look_at_all);
    assert_int_equal(sp_thread_active_count(), 1);
}

static sp_event starts_have_failed;

static sp_status last_so_long(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_event_wait(&starts_have_failed, SP_FOREVER) ? SP_OK : SP_TIMEOUT;
}
SP_TASK(last_so_long, sp_none, sp_none);

/* Threads of that time find their way past what has been freed. */
static void a_thread_that_fails_to_start_is_in_no_list(void **state)
{
    enum { THREADS = 8 };
    (void)state;
    sp_thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = sp_start(last_so_long);
    for (long i = test_count(10000); i > 0; i--)
        assert_null(start_in_vain());
    sp_event_set(&starts_have_failed);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(sp_join(threads[i], NULL, (double)test_patience()), SP_OK);
        sp_thread_release(threads[i]);
    }
}

static void a_start_that_has_returned_is_waited_for(void **state)
{
    (void)state;
    for (long i = test_count(2000); i > 0; i--) {
        uint32_t before = sp__load_seq_cst(&ended);
        sp_thread_release(sp_start(count_end));
        assert_true(sp_join_all(SP_FOREVER));
        assert_int_equal(sp__load_seq_cst(&ended), before + 1);
    }
}

static sp_status find_oneself(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_thread *seen[SEEN];
    bool found = false;
    size_t n = sp_thread_enumerate(seen, SEEN);
    for (size_t i = 0; i < n && i < SEEN; i++) {
        found = found || seen[i] == sp_thread_current();
        sp_thread_release(seen[i]);
    }
    return found ? SP_OK : SP_USER_ERROR;
}
SP_TASK(find_oneself, sp_none, sp_none);

static void a_thread_sees_itself_from_its_first_act_on(void **state)
{
    (void)state;
    for (long i = test_count(1000); i > 0; i--) {
        sp_auto(sp_thread) thread = sp_start(find_oneself);
        assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_are_looked_at_while_they_start),
        cmocka_unit_test(threads_are_waited_for_while_they_start),
        cmocka_unit_test(a_thread_that_fails_to_start_is_never_seen),
        cmocka_unit_test(a_thread_that_fails_to_start_is_in_no_list),
        cmocka_unit_test(a_start_that_has_returned_is_waited_for),
        cmocka_unit_test(a_thread_sees_itself_from_its_first_act_on),
        cmocka_unit_test(threads_are_joined_while_they_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
