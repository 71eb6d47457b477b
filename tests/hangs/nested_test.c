/* Hangs of other pools: tasks that wait for tasks of their own pool.

   Each test says which report it comes from and what shape that has.  A pool with the defect waits for ever; the time limit
   of the test ends it then.

   SPDX-License-Identifier: MIT */
#include "conformance/futures.h"

#include "os/fault.h"
#include "stress/stress.h"

static sp_executor *pool; /* of the test that runs */

static void open_pool(unsigned workers, size_t max_pending)
{
    gate_close();
    pool = sp_thread_pool(.max_workers = workers, .max_pending = max_pending);
    assert_non_null(pool);
}

static void close_pool(void)
{
    assert_int_equal(sp_shutdown(pool), SP_OK);
    sp_executor_release(pool);
    stress_assert_nothing_wrong();
}

/* ---- all workers wait at once ---- */

typedef enum way { RESULT, RESULT_TIMED, ALL, ALL_TIMED, FIRST, FIRST_ERROR, AS_COMPLETED, MAP, WAYS } way;

static sp_barrier all_inside;

static sp_status wait_in_one_way(sp_future *const *futures, size_t n, way how)
{
    sp_status status = SP_OK;
    if (how == AS_COMPLETED) {
        sp_auto(sp_completion) set = sp_as_completed(futures, n, SP_FOREVER);
        while (sp_next(set) != NULL)
            continue;
        return sp_completion_status(set);
    }
    if (how == RESULT || how == RESULT_TIMED) {
        for (size_t i = 0; i < n && status == SP_OK; i++)
            status = sp_result(futures[i], NULL, how == RESULT ? SP_FOREVER : 60.0);
        return status;
    }
    sp_wait_until until = how == FIRST ? SP_FIRST_COMPLETED : how == FIRST_ERROR ? SP_FIRST_ERROR : SP_ALL_COMPLETED;
    return sp_wait(futures, n, until, how == ALL_TIMED ? 60.0 : SP_FOREVER);
}

static sp_status submit_and_wait(const way *in, int *out)
{
    enum { N = 3 };
    struct factors inputs[N] = { { 1, 1 }, { 2, 2 }, { 3, 3 } };
    int outputs[N] = { 0 };
    sp_status status = sp_barrier_wait(&all_inside, NULL, SP_FOREVER); /* now no worker is free */
    if (status == SP_OK && *in == MAP)
        status = sp_map(pool, mul, inputs, outputs, N);
    if (status != SP_OK || *in == MAP) {
        *out = outputs[N - 1];
        return status;
    }
    sp_future *futures[N];
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, mul, inputs[i].x, inputs[i].y);
    status = wait_in_one_way(futures, N, *in);
    if (status == SP_OK)
        status = sp_result(futures[N - 1], out, SP_FOREVER);
    sp_release_all(futures, N);
    return status;
}
SP_TASK(submit_and_wait, way, int);

/* bshoshany/thread-pool#95, TileDB-Inc/TileDB#1757, OSGeo/gdal#6389, randombit/botan#5874, rust-threadpool#56,
   nfprojects/nfengine#122, langchain-ai/langchain PR 10638 (map): every worker runs a task that submits to the pool and waits
   for it.  Who counts on a free worker has none. */
static void every_worker_waits_for_tasks_of_its_own(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 4; workers++) {
        for (way how = RESULT; how < WAYS; how++) {
            sp_future *futures[4];
            all_inside = (sp_barrier)SP_BARRIER(workers);
            open_pool(workers, 0);
            for (unsigned i = 0; i < workers; i++)
                futures[i] = sp_submit(pool, submit_and_wait, how);
            for (unsigned i = 0; i < workers; i++) {
                int value = 0;
                assert_int_equal(sp_result(futures[i], &value, SP_FOREVER), SP_OK);
                assert_int_equal(value, 9);
            }
            sp_release_all(futures, workers);
            close_pool();
        }
    }
}

/* ---- chains ---- */

enum { CHAIN = 64 };
static sp_future *chain[CHAIN];

struct step {
    int next; /* waits for chain[next], unless that is out of range */
    double timeout;
};

static sp_status wait_for_next(const struct step *in, int *out)
{
    sp_event_wait(&gate.open, SP_FOREVER); /* until the chain is there */
    *out = 1;
    if (in->next < 0 || in->next >= CHAIN)
        return SP_OK;
    int after = 0;
    sp_status status = sp_result(chain[in->next], &after, in->timeout);
    *out = after + 1;
    return status;
}
SP_TASK(wait_for_next, struct step, int);

static void run_chain(unsigned workers, int direction, double timeout)
{
    open_pool(workers, 0);
    for (int i = 0; i < CHAIN; i++)
        chain[i] = sp_submit(pool, wait_for_next, .next = i + direction, .timeout = timeout);
    gate_open();
    int length = 0;
    assert_int_equal(sp_result(chain[direction > 0 ? 0 : CHAIN - 1], &length, SP_FOREVER), SP_OK);
    assert_int_equal(length, CHAIN);
    assert_int_equal(sp_wait(chain, CHAIN, SP_ALL_COMPLETED, SP_FOREVER), SP_OK);
    sp_release_all(chain, CHAIN);
    close_pool();
}

/* GLib 4dae2d8289 and the remark in GTask's documentation: a chain of tasks, each waiting for the one behind it in the
   queue, which is longer than the pool may grow. */
static void a_chain_longer_than_the_pool(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 3; workers++) {
        run_chain(workers, 1, SP_FOREVER);
        run_chain(workers, 1, 60.0);
    }
}

/* The same where the tasks wait for those before them: a pool that begins with the youngest has only waiting ones. */
static void a_chain_the_other_way(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 3; workers++) {
        run_chain(workers, -1, SP_FOREVER);
        run_chain(workers, -1, 60.0);
    }
}

/* OSGeo/gdal#6389, taskflow/taskflow#575: a task waits for one that runs, which waits for one that is queued; both workers
   are lost to those waits. */
static sp_status wait_for_a_child(const double *in, int *out)
{
    if (sp_barrier_wait(&all_inside, NULL, SP_FOREVER) != SP_OK)
        return SP_RUNTIME_ERROR;
    sp_auto(sp_future) child = sp_submit(pool, mul, 6, 7);
    return sp_result(child, out, *in);
}
SP_TASK(wait_for_a_child, double, int);

static sp_status wait_for_the_parent(const double *in, int *out)
{
    if (sp_barrier_wait(&all_inside, NULL, SP_FOREVER) != SP_OK)
        return SP_RUNTIME_ERROR;
    return sp_result(chain[0], out, *in);
}
SP_TASK(wait_for_the_parent, double, int);

static void a_wait_for_a_running_task_that_waits_itself(void **state)
{
    (void)state;
    static const double limits[] = { 60.0, SP_FOREVER };
    for (int i = 0; i < 4; i++) {
        int value = 0;
        all_inside = (sp_barrier)SP_BARRIER(2);
        open_pool(2, 0);
        chain[0] = sp_submit(pool, wait_for_a_child, limits[i % 2]);
        chain[1] = sp_submit(pool, wait_for_the_parent, limits[i / 2]);
        assert_int_equal(sp_result(chain[1], &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, 42);
        sp_release_all(chain, 2);
        close_pool();
    }
}

/* ---- what a waiting worker may run ---- */

static sp_lock lock;

static sp_status need_the_lock(const int *in, int *out)
{
    SP_HOLD(&lock);
    *out = *in;
    return SP_OK;
}
SP_TASK(need_the_lock, int, int);

static sp_status wait_under_the_lock(const double *in, int *out)
{
    SP_HOLD(&lock);
    sp_auto(sp_future) unrelated = sp_submit(pool, need_the_lock, 1); /* before what is waited for, and after */
    sp_auto(sp_future) awaited = sp_submit(pool, mul, 6, 7);
    sp_auto(sp_future) late = sp_submit(pool, need_the_lock, 1);
    return sp_result(awaited, out, *in);
}
SP_TASK(wait_under_the_lock, double, int);

/* TileDB-Inc/TileDB#1994: a waiting worker helps with whatever comes first, which needs the lock that the worker holds. */
static void a_waiting_worker_runs_nothing_that_needs_its_lock(void **state)
{
    (void)state;
    for (long i = test_count(20); i > 0; i--) {
        int value = 0;
        open_pool(1, 0);
        sp_auto(sp_future) future = sp_submit(pool, wait_under_the_lock, i % 2 ? SP_FOREVER : 60.0);
        assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, 42);
        close_pool();
    }
}

static sp_status submit_under_the_lock(const int *in, int *out)
{
    sp_lock_acquire(&lock);
    sp_auto(sp_future) future = sp_submit(pool, need_the_lock, *in);
    sp_lock_release(&lock);
    return sp_result(future, out, SP_FOREVER);
}
SP_TASK(submit_under_the_lock, int, int);

/* nim-lang/Nim#4597: with all workers busy the task is run by who submits it, who holds what it needs. */
static void a_submit_never_runs_the_task(void **state)
{
    (void)state;
    enum { N = 100 };
    sp_future *futures[N];
    open_pool(1, 0);
    sp_future *first = sp_submit(pool, pass, 1);
    gate_await(1);
    sp_lock_acquire(&lock);
    for (int i = 0; i < N; i++)
        futures[i] = i % 2 ? sp_submit(pool, need_the_lock, i) : sp_submit(pool, submit_under_the_lock, i);
    sp_lock_release(&lock);
    gate_open();
    for (int i = 0; i < N; i++) {
        int value = -1;
        assert_int_equal(sp_result(futures[i], &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, i);
    }
    sp_release_all(futures, N);
    sp_future_release(first);
    close_pool();
}

static sp_status submit_many(const int *in, int *out)
{
    enum { N = 50 };
    sp_future *futures[N];
    sp_event_wait(&gate.open, SP_FOREVER); /* until the queue is full */
    for (int i = 0; i < N; i++)
        futures[i] = sp_submit(pool, mul, *in, i);
    sp_status status = sp_wait(futures, N, SP_ALL_COMPLETED, SP_FOREVER);
    if (status == SP_OK)
        status = sp_result(futures[N - 1], out, SP_NOWAIT);
    sp_release_all(futures, N);
    return status;
}
SP_TASK(submit_many, int, int);

/* cpython#105829 as far as it is about threads: the queue is full, and those who could empty it wait for room in it. */
static void a_task_submits_past_a_full_queue(void **state)
{
    (void)state;
    int value = 0;
    open_pool(1, 1);
    sp_auto(sp_future) running = sp_submit(pool, submit_many, 2);
    test_await(sp_future_running(running));
    sp_auto(sp_future) queued = sp_submit(pool, submit_many, 2); /* full */
    gate_open();
    assert_int_equal(sp_result(running, &value, SP_FOREVER), SP_OK);
    assert_int_equal(sp_result(queued, &value, SP_FOREVER), SP_OK);
    assert_int_equal(value, 98);
    close_pool();
}

/* ---- several who wait from outside ---- */

static sp_status map_inside(const int *in, int *out)
{
    struct factors inputs[3];
    int outputs[3] = { 0 };
    for (int i = 0; i < 3; i++)
        inputs[i] = (struct factors){ *in, i };
    sp_status status = sp_map(pool, mul, inputs, outputs, 3);
    *out = outputs[2];
    return status;
}
SP_TASK(map_inside, int, int);

static void *map_outside(void *arg)
{
    int inputs[8], outputs[8] = { 0 };
    for (int i = 0; i < 8; i++)
        inputs[i] = i;
    stress_expect(sp_map(pool, map_inside, inputs, outputs, 8, .chunksize = 2) == SP_OK);
    stress_expect(outputs[7] == 14);
    return arg;
}

/* uxlfoundation/oneTBB#1316, #2156: several threads run nested loops in one small pool. */
static void nested_loops_of_several_threads(void **state)
{
    (void)state;
    sp__fault_spurious(test_seed(), 50);
    for (long round = test_count(20); round > 0; round--) {
        pthread_t threads[4];
        open_pool(1 + (unsigned)round % 2, round % 3 == 0 ? 2 : 0);
        for (int i = 0; i < 4; i++)
            threads[i] = test_thread(map_outside, NULL);
        for (int i = 0; i < 4; i++)
            test_join(threads[i]);
        close_pool();
    }
    sp__fault_spurious(0, 0);
}

/* ---- cycles ---- */

static sp_executor *pools[2];
static sp_future *ring[3];

static sp_status wait_in_the_ring(const int *in, sp_status *out)
{
    sp_event_wait(&gate.open, SP_FOREVER);
    *out = sp_result(ring[*in], NULL, SP_FOREVER);
    return SP_OK;
}
SP_TASK(wait_in_the_ring, int, sp_status);

/* The example of a deadlock in the manual of concurrent.futures (cpython#141617): tasks that wait for each other, in one
   pool, large enough or not, and in two.  One of them is refused. */
static void a_ring_of_tasks_is_refused_to_one(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 4; workers++) {
        for (int others = 0; others < 2; others++) {
            if (others == 1 && workers == 1)
                continue; /* waits for tasks of another pool are not helped */
            gate_close();
            for (int k = 0; k < 2; k++)
                pools[k] = sp_thread_pool(.max_workers = workers);
            for (int i = 0; i < 3; i++)
                ring[i] = sp_submit(pools[i % 2 * others], wait_in_the_ring, (i + 1) % 3);
            gate_open();
            int refused = 0;
            for (int i = 0; i < 3; i++) {
                sp_status end = SP_OK;
                assert_int_equal(sp_result(ring[i], &end, SP_FOREVER), SP_OK);
                assert_true(end == SP_OK || end == SP_DEADLOCK);
                refused += end == SP_DEADLOCK;
            }
            assert_true(refused >= 1);
            sp_release_all(ring, 3);
            for (int k = 0; k < 2; k++) {
                assert_int_equal(sp_shutdown(pools[k]), SP_OK);
                sp_executor_release(pools[k]);
            }
        }
    }
}

/* ---- a pool that is closed already ---- */

static sp_status wait_after_the_close(const double *in, int *out)
{
    sp_auto(sp_future) child = sp_submit(pool, mul, 6, 7);
    int value;
    sp_status status = pass(&(int){ 1 }, &value); /* until the pool is closed */
    return status == SP_OK ? sp_result(child, out, *in) : status;
}
SP_TASK(wait_after_the_close, double, int);

/* cpython#83386 and bpo-39104, as far as they are about threads: the pool is closed without waiting, and one of its tasks
   has still to wait for another. */
static void nested_waits_go_on_in_a_closed_pool(void **state)
{
    (void)state;
    static const double limits[] = { 60.0, SP_FOREVER };
    for (int i = 0; i < 2; i++) {
        int value = 0;
        open_pool(1, 0);
        sp_auto(sp_future) future = sp_submit(pool, wait_after_the_close, limits[i]);
        gate_await(1);
        assert_int_equal(sp_shutdown(pool, .no_wait = true), SP_OK);
        gate_open();
        assert_int_equal(sp_result(future, &value, SP_FOREVER), SP_OK);
        assert_int_equal(value, 42);
        close_pool();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_worker_waits_for_tasks_of_its_own),
        cmocka_unit_test(a_chain_longer_than_the_pool),
        cmocka_unit_test(a_chain_the_other_way),
        cmocka_unit_test(a_wait_for_a_running_task_that_waits_itself),
        cmocka_unit_test(a_waiting_worker_runs_nothing_that_needs_its_lock),
        cmocka_unit_test(a_submit_never_runs_the_task),
        cmocka_unit_test(a_task_submits_past_a_full_queue),
        cmocka_unit_test(nested_loops_of_several_threads),
        cmocka_unit_test(a_ring_of_tasks_is_refused_to_one),
        cmocka_unit_test(nested_waits_go_on_in_a_closed_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
