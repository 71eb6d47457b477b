/* Threads that run user code after their task: hooks, finalisers, key destructors.  Nobody who starts or submits waits for
   that code, and it may use the library itself, to the last round.  What ends in abort is a child of its own.

   SPDX-License-Identifier: MIT */
#include "child.h"

#include <limits.h>
#include <stdlib.h>

#include <spool.h>

#include "base/atomic.h"
#include "thread/thread.h"

static const char *program;
static sp_lock lock;
static sp_event gate, inside;
static sp_event released; /* what fails waits for it, so that its error is told in its own thread */
static sp_executor *pool;

static sp_status succeed(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return SP_OK;
}
SP_TASK(succeed, sp_none, sp_none);

static sp_status fail_on_purpose(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp_event_wait(&released, SP_FOREVER);
    return sp_raise(SP_VALUE_ERROR, "on purpose");
}
SP_TASK(fail_on_purpose, sp_none, sp_none);

/* ---- a thread that is held up in its end ---- */

static void pass_the_gate(void)
{
    sp_event_set(&inside);
    sp_event_wait(&gate, SP_FOREVER);
}

static void slow_hook(sp_thread *thread, const sp_error *error, void *context)
{
    (void)thread, (void)error, (void)context;
    pass_the_gate();
}

static void slow_end(void *value)
{
    (void)value;
    pass_the_gate();
}

static sp_local slow_local = SP_LOCAL(int, NULL, slow_end);
static pthread_key_t slow_key;

static sp_status use_local(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_local_get(&slow_local) != NULL ? SP_OK : SP_MEMORY_ERROR;
}
SP_TASK(use_local, sp_none, sp_none);

static sp_status use_key(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return pthread_setspecific(slow_key, &gate) == 0 ? SP_OK : SP_MEMORY_ERROR;
}
SP_TASK(use_key, sp_none, sp_none);

static void start_and_submit(void)
{
    for (int i = 0; i < 20; i++) {
        sp_auto(sp_thread) thread = sp_start(succeed);
        assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
    }
    sp_auto(sp_future) future = sp_submit(pool, succeed);
    assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
    sp_auto(sp_timer) timer = sp_timer_start(0, succeed);
    assert_int_equal(sp_timer_join(timer, SP_FOREVER), SP_OK);
}

static void begin(void)
{
    sp_event_clear(&gate);
    sp_event_clear(&inside);
    sp_event_clear(&released);
    pool = sp_thread_pool(.max_workers = 1, .idle_seconds = 1e-6);
}

static void let_it_end(void)
{
    sp_event_set(&gate);
    assert_true(sp_join_all(SP_FOREVER));
    sp_executor_release(pool);
}

static void nobody_waits_for_an_orphan_at_its_end(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        begin();
        sp_set_excepthook(slow_hook, NULL);
        if (kind == 0)
            sp_thread_release(sp_start(fail_on_purpose));
        else if (kind == 1)
            sp_thread_release(sp_start(use_local));
        else
            sp_thread_release(sp_start(use_key));
        sp_event_set(&released);
        sp_event_wait(&inside, SP_FOREVER);
        start_and_submit();
        sp_set_excepthook(NULL, NULL);
        let_it_end();
    }
}

static void nobody_waits_for_a_worker_at_its_end(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        begin();
        sp_auto(sp_future) future = kind == 0 ? sp_submit(pool, use_local) : sp_submit(pool, use_key);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
        sp_event_wait(&inside, SP_FOREVER);
        start_and_submit();
        let_it_end();
    }
}

/* One that ends slowly keeps the memory of no other. */
static void orphans_do_not_pile_up_behind_one(void **state)
{
    (void)state;
    begin();
    sp_thread_release(sp_start(use_key));
    sp_event_wait(&inside, SP_FOREVER);
    for (int i = 0; i < 500; i++)
        sp_thread_release(sp_start(succeed));
    bool settled;
    test_await((sp_thread_release(sp_start(succeed)), sp__registry_count_ours(&settled) < 10));
    let_it_end();
}

static void a_join_with_a_limit_keeps_it_while_destructors_run(void **state)
{
    (void)state;
    begin();
    sp_auto(sp_thread) thread = sp_start(use_key);
    sp_event_wait(&inside, SP_FOREVER);
    assert_int_equal(sp_join(thread, NULL, SP_NOWAIT), SP_TIMEOUT);
    assert_int_equal(sp_join(thread, NULL, 0.01), SP_TIMEOUT);
    assert_true(sp_thread_is_alive(thread));
    assert_false(sp_join_all(0.01));
    sp_event_set(&gate);
    assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
    assert_false(sp_thread_is_alive(thread));
    let_it_end();
}

static void after_its_end_a_join_never_times_out(void **state)
{
    (void)state;
    for (long i = test_count(2000); i > 0; i--) {
        sp_auto(sp_thread) thread = sp_start(succeed);
        test_await(!sp_thread_is_alive(thread));
        assert_int_equal(sp_join(thread, NULL, SP_NOWAIT), SP_OK);
    }
}

/* ---- a pool that is shut down by a worker that ends ---- */

static sp_executor *closed;
static uint32_t answers[3]; /* atomic; of shutdown, of wait_idle, of join_all with a limit */
static pthread_key_t closing_key;

static void close_own_pool(void *value)
{
    (void)value;
    sp__store_relaxed(&answers[0], sp_shutdown(closed)); /* relaxed: read after the worker is gone */
    sp__store_relaxed(&answers[1], sp_executor_wait_idle(closed, SP_FOREVER));
    sp__store_relaxed(&answers[2], sp_join_all(SP_FOREVER));
}
static sp_local closing_local = SP_LOCAL(int, NULL, close_own_pool);

static sp_status use_closing(const int *in, sp_none *out)
{
    (void)out;
    if (*in == 0)
        return sp_local_get(&closing_local) != NULL ? SP_OK : SP_MEMORY_ERROR;
    return pthread_setspecific(closing_key, &gate) == 0 ? SP_OK : SP_MEMORY_ERROR;
}
SP_TASK(use_closing, int, sp_none);

static void a_worker_that_ends_does_not_wait_for_itself(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        sp__store_relaxed(&answers[0], 99);
        closed = sp_thread_pool(.max_workers = 1, .idle_seconds = 1e-6);
        sp_auto(sp_future) future = sp_submit(closed, use_closing, kind);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OK);
        test_await(sp__load_relaxed(&answers[0]) != 99);
        assert_int_equal(sp_shutdown(closed), SP_OK);
        assert_int_equal(sp__load_relaxed(&answers[0]), SP_DEADLOCK);
        assert_false(sp__load_relaxed(&answers[1]));
        assert_true(sp__load_relaxed(&answers[2]));
        assert_int_equal(sp_post(closed, succeed), SP_SHUT_DOWN);
        sp_executor_release(closed);
    }
}

/* ---- the library in destructors of every round ---- */

static pthread_key_t round_key;
static _Thread_local int round_now, round_wanted;
static uint32_t used; /* atomic */

static sp_local late_local = SP_LOCAL(int, NULL, NULL);

/* What is made in the last round is never finished, and memcheck, for which memory is plain, complains. */
static bool would_be_lost(void)
{
    return round_now == PTHREAD_DESTRUCTOR_ITERATIONS && getenv("SPOOL_TEST_PLAIN_MEMORY") != NULL;
}

static void use_everything(void)
{
    sp_lock_acquire(&lock);
    sp_lock_release(&lock);
    if (!would_be_lost() && sp_local_get(&late_local) == NULL)
        abort();
    if (sp_thread_current() == NULL)
        abort();
    sp_auto(sp_thread) thread = sp_start(succeed);
    sp_auto(sp_future) future = sp_submit(pool, succeed);
    if (sp_join(thread, NULL, SP_FOREVER) != SP_OK || sp_result(future, NULL, SP_FOREVER) != SP_OK)
        abort();
    sp__add_seq_cst(&used, 1);
}

static void use_in_a_round(void *value)
{
    if (++round_now < round_wanted)
        pthread_setspecific(round_key, value);
    else
        use_everything();
}

static void begin_rounds(int wanted)
{
    round_now = 0;
    round_wanted = wanted;
    pthread_setspecific(round_key, &lock);
}

static sp_status end_in_rounds(const int *in, sp_none *out)
{
    (void)out;
    begin_rounds(*in);
    return SP_OK;
}
SP_TASK(end_in_rounds, int, sp_none);

/* It has used the library before, or not. */
static void *foreign_rounds(void *arg)
{
    int wanted = *(int *)arg;
    if (wanted < 0)
        use_everything();
    begin_rounds(wanted < 0 ? -wanted : wanted);
    return NULL;
}

/* Contention makes whoever waits look at those who hold: none of them may be memory of a thread that is gone. */
static void contend(void)
{
    for (int i = 0; i < 20; i++) {
        sp_lock_acquire(&lock);
        sp_auto(sp_thread) thread = sp_start(end_in_rounds, 1);
        sp_sleep(0.0002);
        sp_lock_release(&lock);
        assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
    }
}

static void destructors_of_every_round_use_the_library(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    puts("not under the thread sanitizer: it forgets a thread while its destructors run");
    skip();
#endif
    enum { ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS };
    begin();
    sp__store_relaxed(&used, 0);
    uint32_t expected = 0;
    for (long i = test_count(100); i > 0; i--)
        for (int round = 1; round <= ROUNDS; round++) {
            int wanted[2] = { round, -round };
            for (int k = 0; k < 2; k++)
                test_join(test_thread(foreign_rounds, &wanted[k]));
            sp_auto(sp_thread) thread = sp_start(end_in_rounds, round);
            assert_int_equal(sp_join(thread, NULL, SP_FOREVER), SP_OK);
            sp_executor *other = sp_thread_pool(.max_workers = 1);
            assert_int_equal(sp_post(other, end_in_rounds, round), SP_OK);
            assert_int_equal(sp_shutdown(other), SP_OK);
            sp_executor_release(other);
            expected += 5;
            assert_int_equal(sp__load_seq_cst(&used), expected);
        }
    contend();
    let_it_end();
}

/* ---- the excepthook ---- */

static uint32_t made, finished; /* atomic */
static pthread_t main_thread;

static void count_made(void *value)
{
    (void)value;
    sp__add_seq_cst(&made, 1);
}

static void count_finished(void *value)
{
    (void)value;
    sp__add_seq_cst(&finished, 1);
}
static sp_local hook_local = SP_LOCAL(int, count_made, count_finished);

static void use_in_hook(sp_thread *thread, const sp_error *error, void *context)
{
    (void)thread, (void)error, (void)context;
    if (!pthread_equal(pthread_self(), main_thread)) /* whose values live to the end */
        (void)sp_local_get(&hook_local);
}

static void what_the_excepthook_makes_is_finished(void **state)
{
    (void)state;
    main_thread = pthread_self();
    sp_event_set(&released);
    sp_set_excepthook(use_in_hook, NULL);
    for (long i = test_count(200); i > 0; i--)
        sp_thread_release(sp_start(fail_on_purpose));
    assert_true(sp_join_all(SP_FOREVER));
    assert_int_equal(sp__load_seq_cst(&made), sp__load_seq_cst(&finished));
    sp_set_excepthook(NULL, NULL);
}

static uint32_t restarts; /* atomic */

static void restart(sp_thread *thread, const sp_error *error, void *context)
{
    (void)thread, (void)error, (void)context;
    if (sp__add_seq_cst(&restarts, 1) < 200)
        sp_thread_release(sp_start(fail_on_purpose));
}

static void an_excepthook_may_start_a_replacement(void **state)
{
    (void)state;
    sp__store_relaxed(&restarts, 0);
    sp_set_excepthook(restart, NULL);
    for (int i = 0; i < 3; i++)
        sp_thread_release(sp_start(fail_on_purpose));
    assert_true(sp_join_all(SP_FOREVER));
    assert_int_equal(sp__load_seq_cst(&restarts), 203);
    sp_set_excepthook(NULL, NULL);
}

/* ---- locks of a thread that ends; children ---- */

static void release_it(void *value)
{
    if (++round_now < round_wanted)
        pthread_setspecific(round_key, value);
    else
        sp_lock_release(&lock);
}

static sp_status hold_until_the_last_round(const int *in, sp_none *out)
{
    (void)out;
    sp_lock_acquire(&lock);
    sp_event_set(&inside);
    begin_rounds(*in);
    sp_event_wait(&gate, SP_FOREVER);
    return SP_OK;
}
SP_TASK(hold_until_the_last_round, int, sp_none);

static sp_status open_the_gate(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    while (!(sp__load_acquire(&lock.sp_word_) >> 63)) /* until somebody is about to sleep for it */
        sched_yield();
    sp_event_set(&gate);
    return SP_OK;
}
SP_TASK(open_the_gate, sp_none, sp_none);

static void *foreign_holder(void *arg)
{
    (void)hold_until_the_last_round(arg, NULL);
    return NULL;
}

/* The lock is released by a destructor: whoever waits for it gets it, and nothing is reported. */
static void released_late(void)
{
    pthread_key_create(&round_key, release_it);
    for (int i = 0; i < 2 * PTHREAD_DESTRUCTOR_ITERATIONS; i++) {
        int round = 1 + i / 2;
        pthread_t foreign;
        sp_event_clear(&gate);
        sp_event_clear(&inside);
        if (i % 2 == 0)
            sp_thread_release(sp_start(hold_until_the_last_round, round));
        else if (pthread_create(&foreign, NULL, foreign_holder, &round) != 0)
            _exit(97);
        sp_event_wait(&inside, SP_FOREVER);
        sp_thread_release(sp_start(open_the_gate));
        sp_lock_acquire(&lock);
        sp_lock_release(&lock);
        if (i % 2 != 0)
            pthread_join(foreign, NULL);
    }
    (void)sp_join_all(SP_FOREVER);
    _exit(0);
}

static void want_the_lock(void *value)
{
    (void)value;
    sp_lock_acquire(&lock);
}

static void joined_with_the_lock(void)
{
    pthread_key_create(&slow_key, want_the_lock);
    sp_lock_acquire(&lock);
    sp_thread *thread = sp_start(use_key);
    (void)!sp_join(thread, NULL, SP_FOREVER);
}

static const struct child_case children[] = {
    { "late", released_late },
    { "joined", joined_with_the_lock },
};
enum { CHILDREN = sizeof children / sizeof children[0] };

#ifndef __SANITIZE_THREAD__
static void a_lock_that_a_destructor_releases_is_not_reported(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "late", NULL);
    if (end.hung || !WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0)
        fail_msg("hung %d, status %x, said '%s'", end.hung, (unsigned)end.status, end.said);
}
#endif

static void a_destructor_that_wants_what_the_joiner_holds_is_reported(void **state)
{
    (void)state;
    struct child_end end = child_run(program, "joined", NULL);
    child_aborted(&end, "waits for the end of the thread");
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return child_main(children, CHILDREN, argv[1]);
    if (pthread_key_create(&slow_key, slow_end) != 0 || pthread_key_create(&closing_key, close_own_pool) != 0 ||
        pthread_key_create(&round_key, use_in_a_round) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_waits_for_an_orphan_at_its_end),
        cmocka_unit_test(nobody_waits_for_a_worker_at_its_end),
        cmocka_unit_test(orphans_do_not_pile_up_behind_one),
        cmocka_unit_test(a_join_with_a_limit_keeps_it_while_destructors_run),
        cmocka_unit_test(after_its_end_a_join_never_times_out),
        cmocka_unit_test(a_worker_that_ends_does_not_wait_for_itself),
        cmocka_unit_test(destructors_of_every_round_use_the_library),
        cmocka_unit_test(what_the_excepthook_makes_is_finished),
        cmocka_unit_test(an_excepthook_may_start_a_replacement),
#ifndef __SANITIZE_THREAD__ /* which has forgotten the thread in the last round */
        cmocka_unit_test(a_lock_that_a_destructor_releases_is_not_reported),
#endif
        cmocka_unit_test(a_destructor_that_wants_what_the_joiner_holds_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
