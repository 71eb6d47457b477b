/* The end of a thread pool behaves like the end of concurrent.futures.ThreadPoolExecutor.

   SPDX-License-Identifier: MIT */
#include "conformance/futures.h"

#include <ctype.h>
#include <dirent.h>
#include <string.h>

#include "conformance/child.h"

enum { WORKERS = 5, CALLS = 50 };

static uint32_t initialized, finalized; /* atomic */

static sp_status begin_worker(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&initialized, 1);
    return SP_OK;
}

static void end_worker(void *arg)
{
    (void)arg;
    sp__add_seq_cst(&finalized, 1);
}

/* A pool whose workers are counted when they begin and when they end. */
static sp_executor *counted_pool(void)
{
    initialized = finalized = 0;
    return sp_thread_pool(.max_workers = WORKERS, .initializer = begin_worker, .finalizer = end_worker);
}

static bool all_workers_have_ended(void)
{
    return sp__load_acquire(&initialized) > 0 && sp__load_acquire(&initialized) == sp__load_acquire(&finalized);
}

/* Threads of this process, as the system counts them. */
static int system_threads(void)
{
    int n = 0;
    DIR *directory = opendir("/proc/self/task");
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        n += isdigit((unsigned char)entry->d_name[0]) != 0;
    closedir(directory);
    return n;
}

/* ---- what was accepted, what comes later ---- */

static void submits_after_shutdown_fail(void **state)
{
    (void)state;
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = WORKERS);
    sp_auto(sp_future) before = sp_submit(pool, mul, 2, 5);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_auto(sp_future) after = sp_submit(pool, mul, 2, 5); /* no exception here: it is the future that failed */
    assert_int_equal(sp_result(after, NULL, SP_NOWAIT), SP_SHUT_DOWN);
    assert_int_equal(sp_result(before, NULL, SP_NOWAIT), SP_OK);
}

static void fifty_calls_have_ended_when_shutdown_returns(void **state)
{
    (void)state;
    sp_future *futures[CALLS];
    for (long round = test_count(20); round > 0; round--) {
        sp_executor *pool = sp_thread_pool(.max_workers = WORKERS);
        for (int i = 0; i < CALLS; i++)
            futures[i] = sp_submit(pool, mul, i, 2);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
        for (int i = 0; i < CALLS; i++) {
            int value = -1;
            assert_int_equal(sp_result(futures[i], &value, SP_NOWAIT), SP_OK);
            assert_int_equal(value, 2 * i);
        }
        sp_release_all(futures, CALLS);
    }
}

static void what_has_begun_ends_and_the_rest_is_cancelled(void **state)
{
    (void)state;
    sp_future *futures[CALLS];
    int cancelled = 0;
    gate_close();
    sp_executor *pool = sp_thread_pool(.max_workers = WORKERS);
    for (int i = 0; i < CALLS; i++)
        futures[i] = sp_submit(pool, pass, i);
    gate_await(WORKERS);
    assert_int_equal(sp_shutdown(pool, .cancel_futures = true, .no_wait = true), SP_OK);
    for (int i = 0; i < CALLS; i++)
        cancelled += sp_future_cancelled(futures[i]);
    assert_int_equal(cancelled, CALLS - WORKERS); /* at once: nobody waits for a worker to meet them */
    gate_open();
    assert_int_equal(sp_shutdown(pool), SP_OK);
    for (int i = 0; i < CALLS; i++)
        if (!sp_future_cancelled(futures[i]))
            assert_int_equal(sp_result(futures[i], NULL, SP_NOWAIT), SP_OK);
    assert_int_equal(gate.passed, WORKERS);
    sp_release_all(futures, CALLS);
    sp_executor_release(pool);
}

static void map_and_shutdown_at_once(void **state)
{
    (void)state;
    for (long round = test_count(100); round > 0; round--) {
        struct factors inputs[WORKERS + 1] = { { 2, 2 } };
        int outputs[WORKERS + 1] = { 0 };
        sp_executor *pool = sp_thread_pool(.max_workers = WORKERS);
        assert_int_equal(sp_map(pool, mul, inputs, outputs, WORKERS + 1), SP_OK);
        assert_int_equal(sp_shutdown(pool), SP_OK);
        assert_int_equal(outputs[0], 4);
        sp_executor_release(pool);
    }
}

/* ---- the workers end ---- */

static void workers_have_ended_when_shutdown_returns(void **state)
{
    (void)state;
    gate_close();
    sp_executor *pool = counted_pool();
    for (int i = 0; i < 3; i++)
        assert_int_equal(sp_post(pool, pass, i), SP_OK);
    gate_await(3);
    assert_int_equal(initialized, 3);
    gate_open();
    assert_int_equal(sp_shutdown(pool), SP_OK);
    assert_int_equal(finalized, 3);
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    assert_int_equal(stats.workers, 0);
    sp_executor_release(pool);
}

static void check_products(const int outputs[10])
{
    for (int i = 0; i < 10; i++)
        assert_int_equal(outputs[i], 3 * i);
}

static void map_triples(sp_executor *pool, int outputs[10])
{
    struct factors inputs[10];
    for (int i = 0; i < 10; i++)
        inputs[i] = (struct factors){ i, 3 };
    assert_int_equal(sp_map(pool, mul, inputs, outputs, 10), SP_OK);
}

static void a_scope_shuts_its_pool_down(void **state)
{
    (void)state;
    int outputs[10];
    int before = system_threads();
    {
        sp_auto(sp_executor) pool = counted_pool();
        map_triples(pool, outputs);
    }
    assert_true(all_workers_have_ended());
    test_await(system_threads() <= before); /* the system may take a moment to strike a joined thread off */
    check_products(outputs);
}

static void workers_end_when_the_last_handle_goes(void **state)
{
    (void)state;
    int outputs[10], before = system_threads();
    sp_executor *pool = counted_pool();
    map_triples(pool, outputs);
    sp_executor_release(pool);
    test_await(all_workers_have_ended());
    test_await(system_threads() <= before);
    check_products(outputs);
}

static void workers_end_although_nobody_waits(void **state)
{
    (void)state;
    int outputs[10];
    sp_executor *pool = counted_pool();
    map_triples(pool, outputs);
    gate_close();
    sp_future *late = sp_submit(pool, pass, 4);
    assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK);
    gate_open();
    test_await(all_workers_have_ended());
    assert_int_equal(sp_result(late, NULL, SP_FOREVER), SP_OK);
    sp_future_release(late);
    sp_executor_release(pool);
    check_products(outputs);
}

/* ---- names ---- */

typedef struct {
    char text[64];
} name;

static sp_status name_of_worker(const sp_none *in, name *out)
{
    int value;
    (void)in;
    sp_thread *self = sp_thread_current();
    snprintf(out->text, sizeof out->text, "%s", sp_thread_name(self));
    return pass(&(int){ 1 }, &value); /* until every worker has one */
}
SP_TASK(name_of_worker, sp_none, name);

static void names_of_all_workers(sp_executor *pool, name names[WORKERS])
{
    sp_future *futures[WORKERS];
    gate_close();
    for (int i = 0; i < WORKERS; i++)
        futures[i] = sp_submit(pool, name_of_worker);
    gate_await(WORKERS);
    gate_open();
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(sp_result(futures[i], &names[i], SP_FOREVER), SP_OK);
    sp_release_all(futures, WORKERS);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* Each name is prefix, dash, number; the numbers are 0 to 4, each once. */
static void check_names(const name names[WORKERS], const char *prefix)
{
    unsigned seen = 0;
    for (int i = 0; i < WORKERS; i++) {
        size_t length = strlen(prefix);
        assert_memory_equal(names[i].text, prefix, length);
        assert_int_equal(names[i].text[length], '-');
        assert_int_equal(strlen(names[i].text), length + 2);
        seen |= 1u << (names[i].text[length + 1] - '0');
    }
    assert_int_equal(seen, (1u << WORKERS) - 1);
}

static void workers_are_named_after_the_prefix(void **state)
{
    (void)state;
    name names[WORKERS];
    char prefix[] = "SpecialPool";
    sp_executor *pool = sp_thread_pool(.max_workers = WORKERS, .thread_name_prefix = prefix);
    memset(prefix, 'x', sizeof prefix - 1); /* it was copied */
    names_of_all_workers(pool, names);
    check_names(names, "SpecialPool");
}

static void default_names_tell_pools_apart(void **state)
{
    (void)state;
    name names[2][WORKERS];
    char prefix[2][64];
    for (int k = 0; k < 2; k++) {
        names_of_all_workers(sp_thread_pool(.max_workers = WORKERS), names[k]);
        memcpy(prefix[k], names[k][0].text, sizeof prefix[k]);
        char *dash = strrchr(prefix[k], '-');
        assert_non_null(dash);
        *dash = '\0';
        assert_memory_equal(prefix[k], "sp-", 3);
        check_names(names[k], prefix[k]);
    }
    assert_string_not_equal(prefix[0], prefix[1]);
}

/* ---- the end of the process ---- */

static sp_event leaving; /* set when the exit of the process has begun */

static void note_leaving(void)
{
    sp_event_set(&leaving);
}

static sp_status say_apple(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    sp__add_seq_cst(&gate.inside, 1);
    sp_event_wait(&leaving, SP_FOREVER); /* it ends only if the exit waits for it */
    child_say("apple");
    return SP_OK;
}
SP_TASK(say_apple, sp_none, sp_none);

static sp_executor *left; /* not released on purpose; here a leak check finds it */

/* A pool with a task that has begun and that ends after the exit of the process has. */
static int leave_a_task_at_work(void)
{
    left = sp_thread_pool(.max_workers = WORKERS);
    if (sp_post(left, say_apple) != SP_OK || atexit(note_leaving) != 0)
        return 9; /* our handler is the younger one: it is called before the library's */
    gate_await(1);
    return 0;
}

static int the_process_waits_for_its_pools(void)
{
    return leave_a_task_at_work();
}

static int the_process_waits_after_shutdown_without_waiting(void)
{
    int failed = leave_a_task_at_work();
    return failed + (sp_shutdown(left, .no_wait = true) != SP_OK);
}

static int the_process_waits_after_cancel_without_waiting(void)
{
    int failed = leave_a_task_at_work();
    return failed + (sp_shutdown(left, .no_wait = true, .cancel_futures = true) != SP_OK);
}

static void submit_last(void)
{
    sp_auto(sp_future) future = sp_submit(left, mul, 1, 1);
    sp_status status = sp_result(future, NULL, SP_FOREVER);
    child_say(sp_status_name(status));
}

static int a_submit_after_the_librarys_exit_handler_is_refused(void)
{
    if (atexit(submit_last) != 0) /* the older handler: it is called after the library's */
        return 9;
    left = sp_thread_pool(.max_workers = WORKERS);
    return sp_post(left, mul, 2, 3) == SP_OK ? 0 : 9;
}

static const struct child_case cases[] = {
    CHILD_CASE(the_process_waits_for_its_pools, 0, "apple", ""),
    CHILD_CASE(the_process_waits_after_shutdown_without_waiting, 0, "apple", ""),
    CHILD_CASE(the_process_waits_after_cancel_without_waiting, 0, "apple", ""),
    CHILD_CASE(a_submit_after_the_librarys_exit_handler_is_refused, 0, "SP_SHUT_DOWN", ""),
};

int main(int argc, char **argv)
{
    child_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(submits_after_shutdown_fail),
        cmocka_unit_test(fifty_calls_have_ended_when_shutdown_returns),
        cmocka_unit_test(what_has_begun_ends_and_the_rest_is_cancelled),
        cmocka_unit_test(map_and_shutdown_at_once),
        cmocka_unit_test(workers_have_ended_when_shutdown_returns),
        cmocka_unit_test(a_scope_shuts_its_pool_down),
        cmocka_unit_test(workers_end_when_the_last_handle_goes),
        cmocka_unit_test(workers_end_although_nobody_waits),
        cmocka_unit_test(workers_are_named_after_the_prefix),
        cmocka_unit_test(default_names_tell_pools_apart),
        CHILD_TEST(&cases[0]),
        CHILD_TEST(&cases[1]),
        CHILD_TEST(&cases[2]),
        CHILD_TEST(&cases[3]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
