/* Hangs of other pools: workers that cannot be started, and workers that leave.

   The system itself refuses here: a stack is asked for that does not fit into the address space.  Refusals at every single
   call are in fault/pool_fault_test.c.  Each test says which report it comes from and what shape that has.  A pool with the
   defect waits for ever; the time limit of the test ends it then.

   SPDX-License-Identifier: MIT */
#include "conformance/futures.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "os/fault.h"
#include "stress/stress.h"

/* The sanitizers take more address space than any limit would leave, memcheck does not survive one, and qemu-user keeps them
   from the program. */
static bool takes_a_limit(void)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    return false;
#else
    const char *preloaded = getenv("LD_PRELOAD");
    return !test_is_emulated() && (preloaded == NULL || strstr(preloaded, "vgpreload") == NULL);
#endif
}

static const size_t too_much = (size_t)1 << 50; /* bytes of stack that no process gets */
static const size_t large = (size_t)256 << 20;  /* that some workers get under a limit; more than the C library keeps */

/* ---- no worker at all ---- */

/* Pithikos/C-Thread-Pool#17, #108, #136, Blosc/c-blosc#299, official-stockfish/Stockfish#7060, GLib 3bee5d4aaa: the start of
   a thread fails, nobody notices, and the work waits for ever. */
static void without_any_worker_everybody_is_told(void **state)
{
    (void)state;
    struct factors inputs[3] = { { 1, 1 }, { 2, 2 }, { 3, 3 } };
    int outputs[3] = { 7, 7, 7 };
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 4, .stack_size = too_much);
    assert_non_null(pool);
    for (int i = 0; i < 3; i++) {
        sp_auto(sp_future) future = sp_submit(pool, mul, i, i);
        assert_int_equal(sp_result(future, NULL, SP_FOREVER), SP_OS_ERROR);
        assert_non_null(sp_future_error(future)->message);
    }
    assert_int_equal(sp_post(pool, mul, 1, 1), SP_OS_ERROR);
    assert_int_equal(sp_map(pool, mul, inputs, outputs, 3), SP_OS_ERROR);
    assert_int_equal(outputs[0] + outputs[1] + outputs[2], 21);
    assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
    sp_executor_statistics stats;
    sp_executor_stats(pool, &stats);
    assert_int_equal(stats.workers, 0);
}

/* The same for those who wait for room in the queue, and those who come late. */
static void *submit_and_expect_os_error(void *arg)
{
    for (int i = 0; i < 50; i++) {
        sp_auto(sp_future) future = sp_submit(arg, mul, i, i);
        stress_expect(sp_result(future, NULL, SP_FOREVER) == SP_OS_ERROR);
    }
    return NULL;
}

static void a_crowd_without_any_worker(void **state)
{
    (void)state;
    pthread_t threads[4];
    sp_executor *pool = sp_thread_pool(.max_workers = 2, .max_pending = 1, .stack_size = too_much);
    for (int i = 0; i < 4; i++)
        threads[i] = test_thread(submit_and_expect_os_error, pool);
    for (int i = 0; i < 4; i++)
        test_join(threads[i]);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    stress_assert_nothing_wrong();
}

/* ---- fewer workers than asked for ---- */

static struct rlimit unlimited;

/* Leave so many bytes of address space. */
static void limit_address_space(size_t left)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    assert_int_equal(getrlimit(RLIMIT_AS, &unlimited), 0);
    rlim_t now = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(setrlimit(RLIMIT_AS, &(struct rlimit){ now + left, unlimited.rlim_max }), 0);
}

static void lift_limit(void)
{
    assert_int_equal(setrlimit(RLIMIT_AS, &unlimited), 0);
}

/* rdkcentral/Thunder#1036, charmplusplus/charm#711, valkey-io/valkey-search#1365: the pool comes half-way up. What is there
   does all of the work. */
static void half_of_the_workers_do_all_of_the_work(void **state)
{
    (void)state;
    if (!takes_a_limit())
        skip();
    enum { N = 8 };
    sp_future *futures[N];
    gate_close();
    sp_executor *pool = sp_thread_pool(.max_workers = N, .stack_size = large);
    limit_address_space(2 * large + large / 2);
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, pass, i);
    test_await(sp__load_acquire(&gate.inside) > 0);
    gate_open();
    for (int i = 0; i < N; i++) {
        int value = -1;
        assert_int_equal(sp_result(futures[i], &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, 2 * i);
    }
    lift_limit();
    assert_in_range(gate.peak, 1, 2); /* more do not fit */
    sp_release_all(futures, N);
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
}

/* The same reports: after one refusal the pool is never of use again. */
static void a_refusal_does_not_last(void **state)
{
    (void)state;
    if (!takes_a_limit())
        skip();
    sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 2, .stack_size = large);
    for (int i = 0; i < 3; i++) {
        int value = 0;
        limit_address_space(large / 2);
        sp_auto(sp_future) refused = sp_submit(pool, mul, 6, 7);
        sp_status status = sp_result(refused, &value, SP_FOREVER);
        lift_limit();
        assert_int_equal(status, i == 0 ? SP_OS_ERROR : SP_OK); /* later there is a worker */
        sp_auto(sp_future) future = sp_submit(pool, mul, 6, 7);
        assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, 42);
    }
}

/* ---- nobody can stand in for a worker that waits ---- */

struct wait {
    sp_executor *pool;
    double limit;
    sp_wait_until until;
};

static sp_status wait_without_help(const struct wait *in, sp_status *out)
{
    sp_auto(sp_future) child = sp_submit(in->pool, mul, 6, 7);
    sp_auto(sp_future) other = sp_submit(in->pool, mul, 6, 7);
    sp_future *both[] = { child, other };
    limit_address_space(large / 2);
    *out = sp_wait(both, 2, in->until, in->limit);
    lift_limit();
    return SP_OK;
}
SP_TASK(wait_without_help, struct wait, sp_status);

/* bshoshany/thread-pool#95 together with the reports above: the only worker waits, and no other can be had in its place.  A
   wait without a limit is passed all the same; one with a limit ends with it. */
static void a_worker_waits_and_no_other_can_be_had(void **state)
{
    (void)state;
    if (!takes_a_limit())
        skip();
    static const sp_wait_until ways[] = { SP_ALL_COMPLETED, SP_FIRST_COMPLETED, SP_FIRST_ERROR };
    for (int i = 0; i < 6; i++) {
        sp_auto(sp_executor) pool = sp_thread_pool(.max_workers = 1, .stack_size = large);
        double limit = i < 3 ? SP_FOREVER : 0.05;
        sp_status inner = SP_DEADLOCK;
        sp_auto(sp_future) future = sp_submit(pool, wait_without_help, pool, limit, ways[i % 3]);
        assert_int_equal(sp_result(future, &inner, SP_FOREVER), SP_OK);
        assert_true(inner == SP_OK || (i >= 3 && inner == SP_TIMEOUT));
        assert_true(sp_executor_wait_idle(pool, SP_FOREVER)); /* the children ran in the end */
        sp_executor_statistics stats;
        sp_executor_stats(pool, &stats);
        assert_int_equal(stats.submitted, 3);
        assert_int_equal(stats.completed, 3);
    }
}

/* ---- workers that leave ---- */

/* cpython#115634 as far as it is about threads: a worker that is about to leave is counted as one that is free. */
static void workers_that_leave_strand_nothing(void **state)
{
    (void)state;
    uint64_t random = test_seed();
    sp__fault_spurious(random, 50);
    for (unsigned workers = 1; workers <= 3; workers++) {
        sp_executor *pool = sp_thread_pool(.max_workers = workers, .idle_seconds = 40e-6);
        for (long i = test_count(500); i > 0; i--) {
            sp_future *futures[3];
            int n = 1 + (int)(test_random(&random) % 3);
            for (int k = 0; k < n; k++)
                futures[k] = sp_submit(pool, mul, k, 5);
            for (int k = 0; k < n; k++)
                assert_int_equal(sp_result(futures[k], NULL, SP_FOREVER), SP_OK);
            sp_release_all(futures, (size_t)n);
            stress_linger(test_random(&random) % 4000);
        }
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
    }
    sp__fault_spurious(0, 0);
}

static sp_barrier together;

static sp_status meet_the_others(const sp_none *in, sp_none *out)
{
    (void)in, (void)out;
    return sp_barrier_wait(&together, NULL, SP_FOREVER);
}
SP_TASK(meet_the_others, sp_none, sp_none);

/* cpython#115634, the count itself: a worker that was free once is counted as free although it is busy, and the one that is
   needed is never started.  As many tasks as there may be workers wait for each other. */
static void workers_that_were_idle_are_counted_right(void **state)
{
    (void)state;
    enum { N = 4 };
    uint64_t random = test_seed();
    for (int leave = 0; leave < 2; leave++) {
        sp_executor *pool = sp_thread_pool(.max_workers = N, .idle_seconds = leave ? 40e-6 : 0);
        together = (sp_barrier)SP_BARRIER(N);
        for (long round = test_count(200); round > 0; round--) {
            sp_future *futures[N];
            for (uint64_t k = test_random(&random) % N; k > 0; k--)
                assert_int_equal(sp_post(pool, mul, 6, 7), SP_OK);
            if (round % 2)
                assert_true(sp_executor_wait_idle(pool, SP_FOREVER));
            for (int k = 0; k < N; k++)
                futures[k] = sp_submit(pool, meet_the_others);
            for (int k = 0; k < N; k++)
                assert_int_equal(sp_result(futures[k], NULL, SP_FOREVER), SP_OK);
            sp_release_all(futures, N);
            stress_linger(test_random(&random) % 4000);
        }
        assert_int_equal(sp_shutdown(pool), SP_OK);
        sp_executor_release(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_any_worker_everybody_is_told),     cmocka_unit_test(a_crowd_without_any_worker),
        cmocka_unit_test(half_of_the_workers_do_all_of_the_work),   cmocka_unit_test(a_refusal_does_not_last),
        cmocka_unit_test(a_worker_waits_and_no_other_can_be_had),   cmocka_unit_test(workers_that_leave_strand_nothing),
        cmocka_unit_test(workers_that_were_idle_are_counted_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
